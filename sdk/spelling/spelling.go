// Package spelling finds what somebody meant who mistyped a name: the same for a host, which
// checks the names of options, and for the SDK, which does in plugins under any host.
package spelling

// longest is the length in bytes from which on a name is not compared any more: no key or
// option is that long, and the comparison takes time in proportion to it.
const longest = 64

// Nearest returns the candidate that is the fewest edits away from name: insertions, deletions
// and replacements of one byte. A third of the name may be wrong; of two that are equally near
// it is the first in the alphabet. It reports false if none is near enough to be meant.
func Nearest(name string, candidates []string) (string, bool) {
	if len(name) > longest {
		return "", false
	}
	best, fewest := "", 1+max(1, len(name)/3)
	for _, c := range candidates {
		if d := distance(name, c); d < fewest || d == fewest && best != "" && c < best {
			best, fewest = c, d
		}
	}
	return best, best != ""
}

// distance is the Levenshtein distance, by the algorithm of Wagner and Fischer (Journal of the
// ACM 21, 1974) with one row of the table.
func distance(a, b string) int {
	row := make([]int, len(b)+1) // from the part of a so far to each prefix of b
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
