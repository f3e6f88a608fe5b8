package catalog

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/ai-token-vault/tokenvault"
)

// shape compares YAML nodes with the Go type that they will be decoded into. The
// decoder would find the same problems, but quotes values and knows no field
// paths.
type shape struct {
	file     string
	lines    lineIndex
	problems []error
}

func (s *shape) provider(root *yaml.Node) { s.node("", root, reflect.TypeFor[tokenvault.Provider]()) }

func (s *shape) node(field string, n *yaml.Node, t reflect.Type) {
	if field != "" {
		s.lines[field] = n.Line
	}
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		s.fail(field, n, "must not use YAML anchors or aliases")
		return
	}
	switch {
	case t == reflect.TypeFor[time.Duration]():
		if _, err := time.ParseDuration(n.Value); n.Kind != yaml.ScalarNode || n.Tag != "!!str" || err != nil {
			s.fail(field, n, `must be a duration such as "12h" or "90m"`)
		}
	case t.Kind() == reflect.Pointer:
		s.node(field, n, t.Elem())
	case t.Kind() == reflect.Struct:
		s.object(field, n, t)
	case t.Kind() == reflect.Map:
		s.dictionary(field, n, t)
	case t.Kind() == reflect.Slice:
		s.list(field, n, t)
	case t.Kind() == reflect.Bool:
		if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" {
			s.fail(field, n, "must be true or false")
		}
	case t.Kind() == reflect.Int:
		if _, err := strconv.ParseInt(n.Value, 10, 32); n.Kind != yaml.ScalarNode || n.Tag != "!!int" || err != nil {
			s.fail(field, n, "must be a number")
		}
	case n.Kind != yaml.ScalarNode || n.Tag == "!!null" || n.Tag == "!!binary":
		s.fail(field, n, "must be text")
	}
}

func (s *shape) object(field string, n *yaml.Node, t reflect.Type) {
	known := make(map[string]reflect.Type, t.NumField())
	names := make([]string, 0, t.NumField())
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		known[name] = f.Type
		names = append(names, name)
	}
	for key, value := range s.entries(field, n) {
		ft, ok := known[key.Value]
		if !ok {
			slices.Sort(names)
			s.fail(join(field, quotable(key.Value)), key, "is not a known key; known are "+strings.Join(names, ", "))
			continue
		}
		s.node(join(field, key.Value), value, ft)
		s.lines[join(field, key.Value)] = key.Line
	}
}

func (s *shape) dictionary(field string, n *yaml.Node, t reflect.Type) {
	for key, value := range s.entries(field, n) {
		s.node(join(field, quotable(key.Value)), value, t.Elem())
	}
}

// entries yields the pairs of a mapping, and reports what is not one.
func (s *shape) entries(field string, n *yaml.Node) func(yield func(key, value *yaml.Node) bool) {
	return func(yield func(key, value *yaml.Node) bool) {
		if n.Kind != yaml.MappingNode {
			s.fail(field, n, "must be a mapping of keys to values")
			return
		}
		seen := map[string]bool{}
		for pair := range slices.Chunk(n.Content, 2) {
			key := pair[0]
			switch {
			case key.Kind != yaml.ScalarNode || key.Tag == "!!merge" || key.Tag == "!!null" || key.Anchor != "":
				s.fail(field, key, "must have keys that are plain text")
			case seen[key.Value]:
				s.fail(join(field, quotable(key.Value)), key, "must not be given twice")
			default:
				seen[key.Value] = true
				if !yield(key, pair[1]) {
					return
				}
			}
		}
	}
}

func (s *shape) list(field string, n *yaml.Node, t reflect.Type) {
	if n.Kind != yaml.SequenceNode {
		s.fail(field, n, "must be a list")
		return
	}
	for i, item := range n.Content {
		s.node(field+"["+strconv.Itoa(i)+"]", item, t.Elem())
	}
}

func (s *shape) fail(field string, n *yaml.Node, expected string) {
	s.problems = append(s.problems, at(s.file, n.Line, field, expected))
}

func join(field, key string) string {
	if field == "" {
		return key
	}
	return field + "." + key
}

// quotable returns key if it looks like a key, else a placeholder: a value that
// slipped into a key's place must not be echoed.
func quotable(key string) string {
	plain := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '_' || r == '-'
	}
	if key == "" || len(key) > 32 || strings.ContainsFunc(key, func(r rune) bool { return !plain(r) }) {
		return "?"
	}
	return key
}
