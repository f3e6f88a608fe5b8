package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	kongyaml "github.com/alecthomas/kong-yaml"
	"go.yaml.in/yaml/v3"
)

// A configError is what is wrong with a configuration file.
type configError struct{ file, problem string }

// Error names the file.
func (e *configError) Error() string { return "configuration file " + e.file + ": " + e.problem }

// loadConfig reads a configuration file and refuses keys that are no setting, so
// that a misspelt one is not silently without effect.
func loadConfig(r io.Reader) (kong.Resolver, error) {
	name := "(unnamed)"
	if f, ok := r.(*os.File); ok {
		name = f.Name()
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	var keys map[string]any
	if err := yaml.Unmarshal(text, &keys); err != nil {
		return nil, &configError{name + yamlLine(err), "must be YAML, one setting a line, such as 'listen: 127.0.0.1:8420'"}
	}
	values, err := kongyaml.Loader(strings.NewReader(string(text)))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, &configError{name, "must be YAML"}
	}
	return strictResolver{values, name, keys}, nil
}

var yamlLinePattern = regexp.MustCompile(`\bline (\d+)`)

// yamlLine returns the line that a YAML error names. Its text is not passed on:
// it quotes the file.
func yamlLine(err error) string {
	m := yamlLinePattern.FindStringSubmatch(err.Error())
	if m == nil {
		return ""
	}
	return ":" + m[1]
}

type strictResolver struct {
	kong.Resolver
	file string
	keys map[string]any
}

// Resolve leaves alone what the environment sets: it comes before the file.
func (s strictResolver) Resolve(ctx *kong.Context, parent *kong.Path, flag *kong.Flag) (any, error) {
	for _, name := range flag.Envs {
		if _, set := os.LookupEnv(name); set {
			return nil, nil //nolint:nilnil // kong's way to say that there is no value
		}
	}
	return s.Resolver.Resolve(ctx, parent, flag)
}

// Validate names the first unknown key of the file and the nearest known one.
func (s strictResolver) Validate(app *kong.Application) error {
	var known []string
	for _, flag := range app.Flags {
		known = append(known, flag.Name)
	}
	for _, key := range slices.Sorted(maps.Keys(s.keys)) {
		if !slices.Contains(known, key) {
			return &configError{s.file, fmt.Sprintf("unknown key %q%s", key, didYouMean(key, known))}
		}
	}
	return nil
}

// didYouMean names the known key that is nearest, if one is near.
func didYouMean(key string, known []string) string {
	plain := func(s string) string { return strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(s)) }
	nearest, least := "", 3
	for _, k := range known {
		edits := distance(plain(key), plain(k))
		if strings.HasPrefix(plain(k), plain(key)) || strings.HasPrefix(plain(key), plain(k)) {
			edits = min(edits, 2)
		}
		if edits < least {
			nearest, least = k, edits
		}
	}
	if nearest == "" {
		return ": see 'tokenvault serve --help' for the settings"
	}
	return fmt.Sprintf(": did you mean %q?", nearest)
}

// distance is the number of edits that turn a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			edits := diagonal
			if a[i] != b[j] {
				edits++
			}
			diagonal = row[j+1]
			row[j+1] = min(edits, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
