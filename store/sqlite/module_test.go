package sqlite

import (
	"encoding/json"
	"os/exec"
	"testing"
)

// The translated SQLite works with the version of modernc.org/libc that it was
// translated against and with no other: a newer one crashes at run time.
func TestLibcIsTheVersionThatSQLiteRequires(t *testing.T) {
	var sqlite, libc struct{ Version, GoMod string }
	goJSON(t, &sqlite, "list", "-m", "-json", "modernc.org/sqlite")
	goJSON(t, &libc, "list", "-m", "-json", "modernc.org/libc")
	var mod struct {
		Require []struct{ Path, Version string }
	}
	goJSON(t, &mod, "mod", "edit", "-json", sqlite.GoMod)
	for _, required := range mod.Require {
		if required.Path == "modernc.org/libc" {
			if libc.Version != required.Version {
				t.Errorf("go.mod has modernc.org/libc %s, but modernc.org/sqlite %s requires %s: run go get modernc.org/libc@%[3]s",
					libc.Version, sqlite.Version, required.Version)
			}
			return
		}
	}
	t.Fatalf("modernc.org/sqlite %s requires no modernc.org/libc", sqlite.Version)
}

func goJSON(t *testing.T, into any, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", args...).Output()
	if err == nil {
		err = json.Unmarshal(out, into)
	}
	if err != nil {
		t.Fatalf("go %v: %v", args, err)
	}
}
