package chaos

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ai-token-vault/tokenvault/internal/testop"
)

// laterSchema is a step that the version after this one could bring. It locks several
// tables, in another order than those who use them.
const laterSchema = `-- +goose Up
ALTER TABLE audit ADD COLUMN later text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE data_keys ADD COLUMN later text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE permissions ADD COLUMN later text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE connections ADD COLUMN renewed_by text COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX connections_renewed_by ON connections (tenant, renewed_by);
CREATE TABLE of_a_later_version (tenant text COLLATE "C" PRIMARY KEY);
`

// buildLater builds the version after this one: the same source, with one more step
// of the schema, and with a statement that writes what the step brings.
func buildLater(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../store/postgres")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(filepath.Join(dir, "refresh.go"))
	if err != nil {
		t.Fatal(err)
	}
	const before, after = "SET version = version + 1,", "SET renewed_by = 'later', version = version + 1,"
	if strings.Count(string(source), before) != 1 {
		t.Fatalf("store/postgres/refresh.go has not one statement with %q: name another", before)
	}
	replaced := map[string]string{
		filepath.Join(dir, "refresh.go"):                    write(t, "refresh.go", strings.Replace(string(source), before, after, 1)),
		filepath.Join(dir, "migrations", "09999_later.sql"): write(t, "later.sql", laterSchema),
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		t.Fatal(err)
	}
	binary, err := buildAs("tokenvault-later", "-overlay", write(t, "overlay.json", string(overlay)))
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// R18: two binaries of two versions serve one database under load, while the replicas
// are replaced by the later version one after the other, and then by the earlier one
// again. The later one migrates while the earlier one serves. No call fails, nothing
// is lost, and each takes over what the other was killed at.
func TestR18TwoVersionsServeOneDatabase(t *testing.T) {
	later := buildLater(t)
	w := newReplicas(t, testop.Options{})
	w.noUpkeep(t)
	l := w.newLoad(t, false)
	up := w.upReplicas(t, 2)
	if long() {
		up = append(up, w.upReplicas(t, 1)...)
	}
	last := len(up) - 1
	var n tally
	for range min(roundsOr(1), 10) { // each replaces all twice
		for _, binary := range []string{later, w.binary} {
			earlier := up[last].Path
			l.deploy(t, &n, up, 0, binary)
			w.takeOver(t, l, up[last], up[0])
			l.account(t, &n, nil)
			up[last] = w.replicaIn(t, up[last].dir, earlier)
			w.front.add(up[last])
			for i := 1; i <= last; i++ {
				l.deploy(t, &n, up, i, binary)
			}
		}
	}
	if byLater := w.count(t, `SELECT count(*) FROM connections WHERE renewed_by = 'later'`); byLater == 0 {
		t.Error("the later version has renewed nothing: the case proves nothing")
	}
	l.finish(t, "pg-versions", &n)
}

// deploy replaces one of the replicas by a binary, under load.
func (l *load) deploy(t *testing.T, n *tally, up []*process, i int, binary string) {
	t.Helper()
	l.begin(t)
	l.w.replicas++
	joining := l.w.replicaIn(t, filepath.Join(t.TempDir(), fmt.Sprintf("replica-%d", l.w.replicas)), binary)
	l.w.front.add(joining)
	l.more(t)
	l.w.leave(t, up[i])
	up[i] = joining
	l.end()
	n.faults++
	l.account(t, n, nil)
}

// takeOver kills a replica that waits for the provider, which has not handled its
// request and does not, and has another one go on.
func (w *world) takeOver(t *testing.T, l *load, killed, by *process) {
	t.Helper()
	user := l.users[0]
	l.expire(user)
	w.op.Fault(t, "/token", "hold_before", 1)
	unheard := w.ask(t, killed, user)
	until(t, "the provider is asked", func() bool { return w.op.Refreshes(t).Held == 1 })
	killed.end(t, syscall.SIGKILL)
	w.front.remove(killed)
	if a := <-unheard; a.err == nil {
		t.Error("a killed server answered")
	}
	w.op.Refreshes(t) // and by then the provider knows that its caller is gone
	w.op.Release(t)
	w.afterDeath(t, killed)
	w.passLeasesOf(t, killed)
	l.got(t, <-w.ask(t, by, user))
}
