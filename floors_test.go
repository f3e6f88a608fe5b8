package tokenvault_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/ai-token-vault/tokenvault"

// A room says what a package may import: ours, as paths below the module ("" is
// the root package), and theirs, beside the standard library. "x/..." stands for
// x and everything below it, "internal/..." for the ground leaves, without testop.
type room struct {
	ours, theirs []string
}

// rooms holds every package of the module. A new package needs a row; so does a
// new dependency of an adapter. The map of the house is docs/house.md.
func rooms() map[string]room {
	root := []string{"", "internal/..."}
	wired := []string{"", "internal/...", "store/...", "seal/...", "flow/...", "spool", "catalog", "httpapi", "pages", "signin", "telemetry", "client", "server"}
	suite := append([]string{"internal/testop"}, root...)
	return map[string]room{
		// Ground leaves import nothing of ours.
		"internal/dotted":     {},
		"internal/envelope":   {},
		"internal/record":     {},
		"internal/filelock":   {theirs: []string{"golang.org/x/..."}},
		"internal/netguard":   {theirs: []string{"golang.org/x/..."}},
		"internal/limit":      {theirs: []string{"golang.org/x/..."}},
		"internal/cdp":        {theirs: []string{"github.com/coder/websocket"}},
		"internal/stdwebhook": {},
		"internal/testpg":     {theirs: []string{"github.com/jackc/pgx/v5/..."}},  // for tests and the demo only
		"internal/testop":     {theirs: []string{"github.com/google/go-cmp/..."}}, // for tests only

		// The contracts and the Vault.
		"": {ours: []string{"internal/..."}, theirs: []string{"golang.org/x/..."}},

		// Adapters and catalog: never each other.
		"store/memory":    {ours: root},
		"store/sqlite":    {ours: root, theirs: []string{"modernc.org/sqlite/...", "github.com/pressly/goose/v3/...", "golang.org/x/..."}},
		"store/postgres":  {ours: root, theirs: []string{"github.com/jackc/pgx/v5/...", "github.com/pressly/goose/v3/...", "golang.org/x/..."}},
		"seal/keyring":    {ours: root},
		"flow/apikeyflow": {ours: root},
		"flow/oauth2flow": {ours: root, theirs: []string{"github.com/coreos/go-oidc/v3/...", "github.com/go-jose/go-jose/v4/...", "golang.org/x/..."}},
		"spool":           {ours: root},

		// What the adapters of a browser share: they import it, and nothing else of their floor does.
		"flow/browserflow":                  {ours: root},
		"flow/browserflow/cdpsession":       {ours: root},
		"flow/browserflow/browsertest":      {ours: append([]string{"flow/browserflow/browsertest/site"}, root...)},
		"flow/browserflow/pool":             {ours: append([]string{"flow/browserflow/cdpsession"}, root...)},
		"flow/browserflow/chromium":         {ours: append([]string{"flow/browserflow/cdpsession", "flow/browserflow/pool"}, root...)},
		"flow/browserflow/remotecdp":        {ours: append([]string{"flow/browserflow/pool"}, root...)},
		"flow/browserflow/browsertest/site": {ours: root}, // the demo's as well

		"flow/browserflow/browsertest/site/serve": {ours: append([]string{"flow/browserflow/browsertest/site"}, root...)}, // for the rig

		"catalog":   {ours: root, theirs: []string{"go.yaml.in/yaml/v3", "golang.org/x/..."}},
		"telemetry": {ours: root, theirs: []string{"github.com/prometheus/client_golang/...", "go.opentelemetry.io/...", "google.golang.org/protobuf/...", "golang.org/x/..."}},

		// The suites that prove what adapters promise.
		"store/storetest": {ours: suite, theirs: []string{"github.com/google/go-cmp/..."}},
		"seal/sealtest":   {ours: suite, theirs: []string{"github.com/google/go-cmp/..."}},

		// Handlers and client: never an adapter.
		"httpapi": {ours: root, theirs: []string{"github.com/coder/websocket", "github.com/google/jsonschema-go/...", "golang.org/x/..."}},
		"pages":   {ours: root, theirs: []string{"golang.org/x/..."}},
		"signin":  {ours: root, theirs: []string{"github.com/coreos/go-oidc/v3/...", "github.com/go-jose/go-jose/v4/...", "golang.org/x/..."}},
		"client":  {ours: root},

		// Wiring and programs.
		"server":         {ours: wired, theirs: []string{"golang.org/x/..."}},
		"cmd/tokenvault": {ours: wired, theirs: []string{"github.com/alecthomas/...", "go.yaml.in/yaml/v3", "golang.org/x/..."}},
		"vaulttest":      {ours: append([]string{"internal/testop"}, wired...), theirs: []string{"golang.org/x/..."}},
		"bench":          {ours: append([]string{"internal/testpg"}, wired...), theirs: []string{"golang.org/x/...", "github.com/jackc/pgx/v5/...", "github.com/coder/websocket"}},
		"bench/hello":    {},                                                                                                       // the floor
		"chaos":          {ours: append([]string{"internal/testop"}, wired...)},                                                    // tests only
		"examples/demo":  {ours: []string{"", "client", "internal/testpg"}, theirs: []string{"github.com/go-jose/go-jose/v4/..."}}, // talks HTTP, like everybody outside
	}
}

// A listed is what "go list -json" says of a package.
type listed struct {
	ImportPath, Dir                    string
	GoFiles, TestGoFiles, XTestGoFiles []string
	IgnoredGoFiles                     []string
	Imports, TestImports, XTestImports []string
}

// room returns the path below the module, "" for the root package.
func (p listed) room() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
}

func (p listed) files() []string {
	var files []string
	for _, name := range slices.Concat(p.GoFiles, p.IgnoredGoFiles, p.TestGoFiles, p.XTestGoFiles) {
		files = append(files, filepath.Join(p.Dir, name))
	}
	return files
}

func packages(t *testing.T) []listed {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(goCommand(t, "list", "-e", "-json", "./...")))
	var all []listed
	for {
		var p listed
		switch err := dec.Decode(&p); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func goCommand(t *testing.T, args ...string) []byte {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", args...).Output()
	if err != nil {
		t.Fatalf("go %s: %v", strings.Join(args, " "), err)
	}
	return out
}

func TestHouseFloors(t *testing.T) {
	table := rooms()
	for _, p := range packages(t) {
		name := p.room()
		allowed, known := table[name]
		if !known {
			t.Errorf("package %s has no row: add it to rooms in floors_test.go, and to docs/house.md", p.ImportPath)
			continue
		}
		for _, imported := range p.Imports {
			if !allowed.allows(imported) {
				t.Errorf("%s imports %s, which its floor may not: see rooms in floors_test.go", p.ImportPath, imported)
			}
		}
		if !strings.HasPrefix(name, "internal/") {
			continue
		}
		for _, imported := range slices.Concat(p.TestImports, p.XTestImports) {
			if ours(imported) && imported != p.ImportPath && imported != module+"/internal/testop" {
				t.Errorf("a test of the leaf %s imports %s: leaves stand alone, tests too", p.ImportPath, imported)
			}
		}
	}
}

func ours(path string) bool { return path == module || strings.HasPrefix(path, module+"/") }

func (r room) allows(path string) bool {
	if ours(path) {
		return matches(r.ours, strings.TrimPrefix(strings.TrimPrefix(path, module), "/"))
	}
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".") || matches(r.theirs, path) // the standard library's paths have no dot
}

func matches(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		tree, all := strings.CutSuffix(pattern, "/...")
		if !all || forTests(path) {
			return path == pattern
		}
		return path == tree || strings.HasPrefix(path, tree+"/")
	})
}

// forTests reports whether a package of ours is for tests. It must be allowed by
// name, so that no test tool ends up in the binary.
func forTests(path string) bool {
	return slices.Contains([]string{"internal/testop", "internal/testpg", "store/storetest", "seal/sealtest", "vaulttest"}, path)
}

func TestHouseFloorsRefuse(t *testing.T) {
	table := rooms()
	for _, tc := range []struct{ room, path string }{
		{"", module + "/catalog"},
		{"", "github.com/google/go-cmp/cmp"},
		{"internal/envelope", module},
		{"internal/netguard", module + "/internal/record"},
		{"store/sqlite", module + "/store/memory"},
		{"store/memory", module + "/internal/testop"},
		{"store/memory", "golang.org/x/sync/errgroup"},
		{"httpapi", module + "/store/memory"},
		{"httpapi", module + "/pages"},
		{"server", module + "/cmd/tokenvault"},
		{"server", module + "/store/storetest"},
		{"server", module + "/vaulttest"},
		{"cmd/tokenvault", module + "/internal/testop"},
		{"catalog", "gopkg.in/yaml.v3"},
	} {
		if table[tc.room].allows(tc.path) {
			t.Errorf("%q may import %s, and must not", tc.room, tc.path)
		}
	}
}

// fileCap is the most lines that a Go file may have.
const fileCap = 600

func TestHouseMeasures(t *testing.T) {
	for _, p := range packages(t) {
		documented := len(p.GoFiles) == 0
		for _, file := range p.files() {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if lines := bytes.Count(text, []byte("\n")); lines > fileCap {
				t.Errorf("%s has %d lines, more than %d: split it by topic", file, lines, fileCap)
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, text, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			documented = documented || parsed.Doc.Text() != "" && !strings.HasSuffix(file, "_test.go")
			for name, methods := range interfaces(parsed) {
				if methods > roleCap {
					t.Errorf("%s: interface %s has %d methods, more than %d: split it by role", file, name, methods, roleCap)
				}
			}
		}
		if !documented {
			t.Errorf("package %s has no package comment: say what the room is for", p.ImportPath)
		}
	}
}

// roleCap is the most methods that an interface may declare itself; one that is
// composed of roles may have more in all.
const roleCap = 6

// interfaces returns the named interfaces of the file and how many methods each
// declares itself.
func interfaces(file *ast.File) map[string]int {
	found := map[string]int{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		if i, ok := spec.Type.(*ast.InterfaceType); ok {
			for _, m := range i.Methods.List {
				found[spec.Name.Name] += len(m.Names)
			}
		}
		return true
	})
	return found
}

// modernc.org/sqlite is translated for one version of modernc.org/libc, and breaks
// in odd ways with another. "go get -u" does not know that.
func TestHouseSQLiteLibc(t *testing.T) {
	gomod, err := os.ReadFile(strings.TrimSpace(string(goCommand(t, "list", "-m", "-f", "{{.GoMod}}", "modernc.org/sqlite"))))
	if err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`modernc\.org/libc (v\S+)`).FindSubmatch(gomod)
	got := strings.TrimSpace(string(goCommand(t, "list", "-m", "-f", "{{.Version}}", "modernc.org/libc")))
	if want == nil || got != string(want[1]) {
		t.Errorf("modernc.org/libc is %s, want the version that modernc.org/sqlite names: %s", got, want)
	}
}
