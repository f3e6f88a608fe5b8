package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	kongyaml "github.com/alecthomas/kong-yaml"
	"go.yaml.in/yaml/v3"
)

// loadConfig reads a configuration file and refuses keys that are no setting, so
// that a misspelt one is not silently without effect.
func loadConfig(r io.Reader) (kong.Resolver, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	var keys map[string]any
	if err := yaml.Unmarshal(text, &keys); err != nil {
		return nil, fmt.Errorf("configuration file is not YAML: %w", err)
	}
	values, err := kongyaml.Loader(strings.NewReader(string(text)))
	if err != nil {
		return nil, err
	}
	return strictResolver{values, keys}, nil
}

type strictResolver struct {
	kong.Resolver
	keys map[string]any
}

// Validate names the first unknown key of the file and the nearest known one.
func (s strictResolver) Validate(app *kong.Application) error {
	var known []string
	for _, flag := range app.Flags {
		known = append(known, flag.Name)
	}
	for _, key := range slices.Sorted(maps.Keys(s.keys)) {
		if !slices.Contains(known, key) {
			return fmt.Errorf("configuration file: unknown key %q%s", key, didYouMean(key, known))
		}
	}
	return nil
}

func didYouMean(key string, known []string) string {
	plain := func(s string) string { return strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(s)) }
	for _, k := range known {
		if plain(k) == plain(key) || strings.HasPrefix(plain(k), plain(key)) || strings.HasPrefix(plain(key), plain(k)) {
			return fmt.Sprintf(": did you mean %q?", k)
		}
	}
	return ": see 'tokenvault serve --help' for the settings"
}
