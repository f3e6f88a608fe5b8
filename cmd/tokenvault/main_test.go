package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "write the golden files")

// noRaceSleep keeps the race detector from sleeping a second before each exit.
const noRaceSleep = "atexit_sleep_ms=0"

// TestMain makes the test binary the command tokenvault, found on PATH.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"tokenvault": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("TOKENVAULT_DATA_DIR", filepath.Join(env.WorkDir, "data"))
			env.Setenv("GORACE", noRaceSleep)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"keepline": keepLine, "keyid": keyID, "grab": grab},
	})
}

// keepLine puts the one line of a file into an environment variable:
// keepline NAME FILE.
func keepLine(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: keepline NAME FILE")
	}
	line, rest, _ := strings.Cut(ts.ReadFile(args[1]), "\n")
	if line == "" || rest != "" {
		ts.Fatalf("%s has not exactly one line", args[1])
	}
	ts.Setenv(args[0], line)
}

// keyID puts the id of an API key into an environment variable: keyid NAME KEY.
func keyID(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 || strings.Count(args[1], "_") != 3 {
		ts.Fatalf("usage: keyid NAME KEY")
	}
	ts.Setenv(args[0], strings.Split(args[1], "_")[1])
}

// grab puts what matches a pattern in a file into an environment variable: grab NAME
// FILE PATTERN.
func grab(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: grab NAME FILE PATTERN")
	}
	found := regexp.MustCompile(args[2]).FindString(ts.ReadFile(args[1]))
	if found == "" {
		ts.Fatalf("%s has nothing like %s", args[1], args[2])
	}
	ts.Setenv(args[0], found)
}

// command returns the command with nothing of the tester's environment but PATH.
// HOME is a folder of the test.
func command(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "tokenvault", args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "GORACE=" + noRaceSleep}, env...)
	cmd.Dir = t.TempDir()
	return cmd
}

type outcome struct {
	out, err string
	status   int
}

// execute runs the command to its end.
func execute(t *testing.T, env []string, args ...string) outcome {
	t.Helper()
	cmd := command(t, env, args...)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := cmd.Run()
	if failed := (*exec.ExitError)(nil); err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	return outcome{out.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// succeed runs the command, which must succeed, and returns what it prints.
func succeed(t *testing.T, env []string, args ...string) string {
	t.Helper()
	got := execute(t, env, args...)
	if got.status != 0 {
		t.Fatalf("tokenvault %s: status %d: %s%s", strings.Join(args, " "), got.status, got.out, got.err)
	}
	return strings.TrimSpace(got.out)
}

// tree returns mode and checksum of all files below dir, without the side files
// that SQLite leaves empty.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if strings.HasSuffix(path, ".db-shm") || strings.HasSuffix(path, ".db-wal") && info.Size() == 0 {
			return nil
		}
		files[path] = info.Mode().String()
		if info.Mode().IsRegular() {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			files[path] += fmt.Sprintf(" %x", sha256.Sum256(text))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestHelp(t *testing.T) {
	parser, err := kong.New(&cli{}, kong.Name("tokenvault"))
	if err != nil {
		t.Fatal(err)
	}
	var visit func(*kong.Node)
	visit = func(node *kong.Node) {
		name := commandOf(node)
		t.Run("tokenvault "+name, func(t *testing.T) { checkHelp(t, strings.Fields(name)) })
		for _, child := range node.Children {
			visit(child)
		}
	}
	visit(parser.Model.Node)
}

func checkHelp(t *testing.T, words []string) {
	t.Helper()
	home := t.TempDir()
	text := succeed(t, []string{"HOME=" + home}, append(words, "--help")...) + "\n"
	for _, machine := range []string{home, os.TempDir(), "/root/", "/home/", "/Users/"} {
		if strings.Contains(text, machine) {
			t.Errorf("the help names %s, which is of this machine", machine)
		}
	}
	golden := filepath.Join("testdata", "help", strings.Join(append([]string{"tokenvault"}, words...), "-")+".txt")
	if *update {
		if err := os.WriteFile(golden, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatalf("%v: make it with 'go test ./cmd/tokenvault -run TestHelp -update'", err)
	}
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Errorf("help differs from %s (-want +got):\n%s", golden, diff)
	}
}
