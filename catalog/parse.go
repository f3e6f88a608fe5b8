package catalog

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/ai-token-vault/tokenvault"
)

// maxFile bounds a provider file, in bytes.
const maxFile = 1 << 20

// Parse reads one provider from YAML and fills its defaults. name is the file's
// name for errors. Parse checks the form (known keys, types, durations), and
// [Lint] the values. The error joins all problems; it wraps
// [tokenvault.ErrInvalid] and holds no value from data.
func Parse(name string, data []byte) (tokenvault.Provider, error) {
	p, _, err := parse(name, data)
	return p, err
}

func parse(name string, data []byte) (tokenvault.Provider, lineIndex, error) {
	none := tokenvault.Provider{}
	if len(data) > maxFile {
		return none, nil, at(name, 0, "", "must be at most 1 MiB")
	}
	root, err := document(name, data)
	if err != nil {
		return none, nil, err
	}
	check := shape{file: name, lines: lineIndex{}}
	check.provider(root)
	if len(check.problems) > 0 {
		return none, nil, errors.Join(check.problems...)
	}
	var p tokenvault.Provider
	if err := root.Decode(&p); err != nil { // check has refused unknown keys
		return none, nil, at(name, lineOf(err), "", "must be a provider definition")
	}
	p.Service = cmp.Or(p.Service, p.ID)
	p.UsageMode = cmp.Or(p.UsageMode, tokenvault.UsageToken)
	p.Verified = cmp.Or(p.Verified, verifiedNot)
	return p, check.lines, nil
}

// document returns the root node of the only document in data.
func document(name string, data []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, at(name, 0, "", "must hold one provider, and is empty")
	case err != nil:
		return nil, at(name, lineOf(err), "", "must be valid YAML")
	}
	var second yaml.Node
	switch err := dec.Decode(&second); {
	case errors.Is(err, io.EOF):
		return doc.Content[0], nil
	case err != nil:
		return nil, at(name, lineOf(err), "", "must be valid YAML")
	}
	return nil, at(name, second.Line, "", "must hold one provider: put each in a file of its own")
}

var yamlLine = regexp.MustCompile(`\bline (\d+)`)

// lineOf returns the line that a YAML error names, or 0. Only the number is
// taken: the text may quote the file.
func lineOf(err error) int {
	m := yamlLine.FindStringSubmatch(err.Error())
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1]) // digits; a number too large means no line
	return n
}

// at returns an error for a field of a file. Line 0 and an empty field mean that
// they are not known.
func at(file string, line int, field, expected string) error {
	where := file
	if line > 0 {
		where += ":" + strconv.Itoa(line)
	}
	if field == "" {
		return fmt.Errorf("%s: the file %s: %w", where, expected, tokenvault.ErrInvalid)
	}
	return fmt.Errorf("%s: %w", where, &tokenvault.FieldError{Field: field, Reason: expected})
}

// A lineIndex maps the path of a field ("oauth2.tokenUrl", "hosts[1]") to its line.
type lineIndex map[string]int

// of returns the line of the field, or of the nearest enclosing one that the file
// holds, or 0.
func (x lineIndex) of(field string) int {
	for field != "" {
		if line, ok := x[field]; ok {
			return line
		}
		field = field[:max(0, strings.LastIndexAny(field, ".["))]
	}
	return 0
}
