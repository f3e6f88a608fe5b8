package chaos

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/ai-token-vault/tokenvault/internal/testpg"
)

var (
	scratch string         // a folder until all tests are done
	shared  *testpg.Server // nil until a test wants one
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if scratch, err = os.MkdirTemp("", "chaos-"); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	defer func() {
		if shared != nil {
			shared.Close()
		}
	}()
	return m.Run()
}

// build returns the server's binary.
func build(t *testing.T) string {
	t.Helper()
	binary, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

var built = sync.OnceValues(func() (string, error) { return buildAs("tokenvault") })

func buildAs(name string, flags ...string) (string, error) {
	binary := filepath.Join(scratch, name)
	args := append(append([]string{"build"}, flags...), "-o", binary, "../cmd/tokenvault")
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return binary, nil
}

// sharedPostgres returns a PostgreSQL server, the same for all tests. Each has a
// database of its own on it.
func sharedPostgres(t *testing.T) *testpg.Server {
	t.Helper()
	if shared == nil {
		started, err := testpg.New()
		if err != nil {
			t.Fatal(err)
		}
		shared = started
	}
	return shared
}
