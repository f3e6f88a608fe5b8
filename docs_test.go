package tokenvault_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// tests returns the names of all tests, fuzz targets and examples of the module, by
// file, and those of the browser rig as they are written there.
func tests(t *testing.T) map[string][]string {
	t.Helper()
	inGo, inRig := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Example)\w*)\(`), regexp.MustCompile(`(?m)^test\('([^']+)'`)
	found := map[string][]string{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".") && path != "." {
			return skipped(d, err)
		}
		names := inGo
		switch {
		case strings.HasSuffix(path, "_test.go"):
		case strings.HasSuffix(path, ".test.mjs"):
			names = inRig
		default:
			return nil
		}
		text, err := os.ReadFile(path)
		for _, match := range names.FindAllSubmatch(text, -1) {
			found[filepath.ToSlash(path)] = append(found[filepath.ToSlash(path)], string(match[1]))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func skipped(d fs.DirEntry, err error) error {
	if err == nil && d.IsDir() {
		return fs.SkipDir
	}
	return err
}

// Every test that the documents name exists, in the file that they name. A name that
// ends in … stands for all that begin so.
func TestDocumentedTestsExist(t *testing.T) {
	all := tests(t)
	named := regexp.MustCompile("`((?:Test|Fuzz)[A-Z0-9]\\w*)(…?)`(?: \\(`?([\\w./-]+_test\\.go)`?\\))?")
	inRig := regexp.MustCompile("`(e2e/rig/[\\w-]+\\.test\\.mjs)`: “([^”]+)”")
	for _, document := range []string{"docs/parity.md", "docs/threat-model.md"} {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		count := 0
		for _, match := range named.FindAllStringSubmatch(string(text), -1) {
			count++
			if !exists(all, match[3], match[1], match[2] != "") {
				t.Errorf("%s names %s, which does not exist %s", document, match[1]+match[2], match[3])
			}
		}
		for _, match := range inRig.FindAllStringSubmatch(string(text), -1) {
			if !slices.Contains(all[match[1]], match[2]) {
				t.Errorf("%s names %q, which is not in %s", document, match[2], match[1])
			}
		}
		if count < 50 {
			t.Errorf("%s names only %d tests", document, count)
		}
	}
}

// exists reports whether a test has the name, in the file if one is given.
func exists(all map[string][]string, file, name string, prefix bool) bool {
	for in, names := range all {
		if file != "" && in != file {
			continue
		}
		if slices.ContainsFunc(names, func(n string) bool { return n == name || prefix && strings.HasPrefix(n, name) }) {
			return true
		}
	}
	return false
}

// cases are the attacks and faults that a test must show, by their stable ids.
const cases = "C3 C5 C8 C10 C11 C12 C13 C15 C17 C19 C20 C21 C22 C23 C24 C25 " +
	"R2 R4 R5 R6 R7 R8 R9 R11 R12 R13 R14 R15 R16 R17 R18 A1 A2 A3 A4 A5 A6 A7 K1 K2 K3 K4 K5 K6 K7 K8 K9 B1 B2 B3 B4 B5 B6"

// Every case has a row in the threat model, with a test that is named after it, or
// with the reason why there is none yet.
func TestEveryCaseHasATestOrAReason(t *testing.T) {
	text, err := os.ReadFile("docs/threat-model.md")
	if err != nil {
		t.Fatal(err)
	}
	deferred := 0
	for id := range strings.FieldsSeq(cases) {
		row := regexp.MustCompile(`(?m)^\| ` + id + ` \|.*$`).FindString(string(text))
		switch {
		case row == "":
			t.Errorf("%s has no row in docs/threat-model.md", id)
		case strings.Contains(row, "not yet: "):
			deferred++
		case !regexp.MustCompile("`(?:Test|Fuzz)" + id + "[A-Z]").MatchString(row):
			t.Errorf("the row of %s names no test that is named after it", id)
		}
	}
	if deferred > 8 {
		t.Errorf("%d cases are put off", deferred)
	}
}
