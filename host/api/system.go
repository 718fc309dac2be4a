package api

import "context"

// capabilities answers sys/capabilities-self: what the token may do at each of the paths.
func (l *Logical) capabilities(_ context.Context, c *call, rest string) (answer, error) {
	if rest != "" || !c.isWrite() {
		return answer{}, notAllowed()
	}
	var body struct {
		Path  string   `json:"path"`
		Paths []string `json:"paths"`
	}
	if err := decodeBody(c.Body, &body); err != nil {
		return answer{}, err
	}
	if body.Path != "" {
		body.Paths = append(body.Paths, body.Path)
	}
	if len(body.Paths) == 0 {
		return answer{}, badRequest("paths must be specified in the request body")
	}
	data := object{}
	for _, path := range body.Paths {
		data[path] = []string{"root"}
	}
	if len(body.Paths) == 1 {
		data["capabilities"] = []string{"root"}
	}
	return answer{data: data, flat: true}, nil
}
