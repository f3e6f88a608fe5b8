package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/alecthomas/kong"
)

func TestAPathBeginsAtHome(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Chdir(t.TempDir())
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(here, "config.yaml")
	if err := os.WriteFile(file, []byte("many: [~/listed.yaml, near.yaml]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	type settings struct {
		Config kong.ConfigFlag
		One    string   `type:"path" default:"~/default"`
		Many   []string `type:"path"`
	}
	for name, tc := range map[string]struct {
		args []string
		one  string
		many []string
	}{
		"default":        {nil, home + "/default", nil},
		"below home":     {[]string{"--one=~/a", "--many=~/b,~/c"}, home + "/a", []string{home + "/b", home + "/c"}},
		"home itself":    {[]string{"--one=~"}, home, nil},
		"relative":       {[]string{"--one=a/../b"}, here + "/b", nil},
		"absolute":       {[]string{"--one=/a"}, "/a", nil},
		"another's home": {[]string{"--one=~b/c"}, here + "/~b/c", nil},
		"nothing":        {[]string{"--one="}, "", nil},
		"a stream":       {[]string{"--one=-"}, "-", nil},
		"a list in a file": {
			[]string{"--config=" + file}, home + "/default", []string{home + "/listed.yaml", here + "/near.yaml"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var s settings
			parser, err := kong.New(&s, kong.NamedMapper("path", kong.MapperFunc(decodePath)), kong.Configuration(loadConfig))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parser.Parse(tc.args); err != nil {
				t.Fatal(err)
			}
			if s.One != tc.one || len(s.Many) != len(tc.many) {
				t.Fatalf("%q and %q, want %q and %q", s.One, s.Many, tc.one, tc.many)
			}
			for i, path := range tc.many {
				if s.Many[i] != path {
					t.Errorf("%q, want %q", s.Many[i], path)
				}
			}
		})
	}
}
