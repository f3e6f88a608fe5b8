package sqlite

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

const contenderPath = "TOKENVAULT_SQLITE_CONTENDER"

// TestMain turns the test binary into a contender for the refresh of cn_1 if the
// environment names a database.
func TestMain(m *testing.M) {
	if path := os.Getenv(contenderPath); path != "" {
		os.Exit(contend(path))
	}
	os.Exit(m.Run())
}

// contend opens the database, says so, waits for a line of input, and reports its
// turn for each version from 1 on that it is told.
func contend(path string) int {
	ctx := context.Background()
	s, err := Open(ctx, path, nil)
	if err != nil {
		return 2
	}
	defer func() { _ = s.Close() }()
	out := json.NewEncoder(os.Stdout)
	_ = out.Encode("ready")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var version int64
		if json.Unmarshal(in.Bytes(), &version) != nil {
			return 3
		}
		turn, err := s.BeginRefresh(ctx, tokenvault.RefreshClaim{Owner: alice, ConnectionID: "cn_1", Version: version, Lease: time.Minute})
		if err != nil {
			return 4
		}
		if turn.Held {
			_, err = s.CommitRefresh(ctx, tokenvault.RefreshCommit{
				Owner: alice, ConnectionID: "cn_1", Fence: turn.Fence, ExpiresIn: time.Hour,
				Record: tokenvault.SealedRecord{KeySpace: "space", KeyVersion: 1, Blob: []byte("renewed")},
			})
			if err != nil {
				return 5
			}
		}
		_ = out.Encode(turn.Held)
	}
	return 0
}

type contender struct {
	in  *json.Encoder
	out *json.Decoder
}

func startContender(t *testing.T, path string) contender {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), exe) // ends when its input does
	cmd.Env, cmd.Stderr = append(os.Environ(), contenderPath+"="+path), os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("contender: %v", err)
		}
	})
	c := contender{json.NewEncoder(in), json.NewDecoder(out)}
	var ready string
	if err := c.out.Decode(&ready); err != nil {
		t.Fatal(err)
	}
	return c
}

// Of two processes that find the same version stale, exactly one refreshes.
func TestTwoProcessesTakeTurns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vault.db")
	s := openAt(t, path, nil)
	connect(t, s, alice, "cn_1", []byte("sealed"))
	first, second := startContender(t, path), startContender(t, path)
	const rounds = 20
	for version := int64(1); version <= rounds; version++ {
		var held [2]bool
		for _, c := range []contender{first, second} {
			if err := c.in.Encode(version); err != nil {
				t.Fatal(err)
			}
		}
		for i, c := range []contender{first, second} {
			if err := c.out.Decode(&held[i]); err != nil {
				t.Fatal(err)
			}
		}
		if held[0] == held[1] {
			t.Fatalf("version %d: first held %v, second held %v", version, held[0], held[1])
		}
	}
	got, err := s.GetConnection(t.Context(), alice, "cn_1")
	if err != nil || got.Version != rounds+1 {
		t.Errorf("version = %d, %v, want %d", got.Version, err, rounds+1)
	}
}
