package cli

import "strings"

// cleanPath returns an API path without the slashes and spaces around it. It
// refuses segments that the HTTP client would resolve, silently naming something
// else than what the user wrote.
func cleanPath(path string) (string, error) {
	path = strings.Trim(strings.TrimSpace(path), "/")
	if path == "" {
		return "", usageError("the path is empty")
	}
	for segment := range strings.SplitSeq(path, "/") {
		switch segment {
		case "", ".", "..":
			return "", usageError("the path has an empty, . or .. segment")
		}
	}
	return path, nil
}
