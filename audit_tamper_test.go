package tokenvault_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/store/sqlite"
)

// A logRig is a vault on a SQLite file that somebody else can write, too.
type logRig struct {
	*rig
	path  string
	store *sqlite.Store
}

// newLog returns a vault whose audit log has signed heads at positions 12 and 18,
// which are entries 13 and 19 of the file, and three entries behind them. Entry 8
// is another tenant's.
func newLog(t *testing.T) *logRig {
	t.Helper()
	r := emptyLog(t)
	r.fill(t)
	return r
}

func emptyLog(t *testing.T) *logRig {
	t.Helper()
	r := &logRig{path: filepath.Join(t.TempDir(), "vault.db")}
	r.rig = &rig{clock: &clock{now: time.Now()}, key: rootKey(t), flow: &scriptedFlow{}}
	r.flow.completed = tokenvault.Completed{Credential: credential("at-0", "rt-0"), Account: tokenvault.Account{ID: "acc-1"}}
	var err error
	if r.store, err = sqlite.Open(t.Context(), r.path, &sqlite.Options{Clock: r.clock.Now}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.store.Close() })
	r.Vault = newVault(t, r.store, r.key, r.flow)
	return r
}

func (r *logRig) fill(t *testing.T) {
	t.Helper()
	_, err := r.SetApp(t.Context(), admin, tokenvault.AppInput{ProviderID: "mail", ClientID: "client"})
	if err != nil {
		t.Fatal(err)
	}
	r.connect(t, "read")
	foreign := tokenvault.Event{Kind: tokenvault.EventReleased, Tenant: "globex", ActorKind: tokenvault.ActorAgent}
	if err := r.store.AppendAudit(t.Context(), []tokenvault.Event{foreign}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		r.use(t, 5)
		r.restart(t)
	}
	r.use(t, 3)
}

func (r *logRig) use(t *testing.T, times int) {
	t.Helper()
	for range times {
		r.token(t, "read")
	}
}

// restart ends the vault, which signs the log then, and begins another on the
// store.
func (r *logRig) restart(t *testing.T) {
	t.Helper()
	if err := r.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	r.Vault = newVault(t, r.store, r.key, r.flow)
}

// unguarded takes away what guards the log in the file.
const unguarded = `DROP TRIGGER audit_is_never_changed; DROP TRIGGER audit_is_never_deleted; DROP TRIGGER audit_heads_are_cut_once;
	DROP TRIGGER audit_heads_are_never_deleted; DROP INDEX audit_chain;`

// exec runs SQL on the file behind the vault's back.
func (r *logRig) exec(t *testing.T, statements string) {
	t.Helper()
	db, err := sql.Open("sqlite", r.path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Exec(statements)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

func (r *logRig) verify(t *testing.T) tokenvault.AuditReport {
	t.Helper()
	report, err := r.VerifyAudit(t.Context(), admin)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// export returns the log as JSON lines.
func (r *logRig) export(t *testing.T) []byte {
	t.Helper()
	var buf bytes.Buffer
	out := json.NewEncoder(&buf)
	if err := r.ExportAudit(t.Context(), admin, func(l tokenvault.AuditLine) error { return out.Encode(l) }); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// rewrite gives every entry the hash that fits, as somebody who knows how they
// are made would.
func (r *logRig) rewrite(t *testing.T) {
	t.Helper()
	events, err := r.Events(t.Context(), admin, tokenvault.EventQuery{})
	if err != nil {
		t.Fatal(err)
	}
	var update strings.Builder
	previous := ""
	for _, e := range events {
		previous = e.ChainHash(previous)
		fmt.Fprintf(&update, "UPDATE audit SET hash = '%s' WHERE tenant = 'default' AND position = %d;", previous, e.Position)
	}
	r.exec(t, update.String())
}

func TestAWholeAuditLogVerifies(t *testing.T) {
	r := newLog(t)
	want := tokenvault.AuditReport{Entries: 21, Heads: 2, Unsigned: 3, Keyed: true}
	if got := r.verify(t); got != want {
		t.Errorf("report = %+v, want %+v", got, want)
	}
	got, err := r.VerifyExport(t.Context(), admin, bytes.NewReader(r.export(t)))
	if err != nil || got != want {
		t.Errorf("report of the export = %+v, %v, want %+v", got, err, want)
	}
	want.Keyed = false
	if got, err := tokenvault.VerifyExport(bytes.NewReader(r.export(t))); err != nil || got != want {
		t.Errorf("report of the export without the key = %+v, %v, want %+v", got, err, want)
	}
	for name, call := range map[string]func() error{
		"VerifyAudit":  func() error { _, err := r.VerifyAudit(t.Context(), aliceUser); return err },
		"VerifyExport": func() error { _, err := r.VerifyExport(t.Context(), aliceAgent, strings.NewReader("")); return err },
		"ExportAudit":  func() error { return r.ExportAudit(t.Context(), aliceUser, nil) },
		"PruneAudit":   func() error { _, err := r.PruneAudit(t.Context(), aliceAgent, 1000*time.Hour); return err },
	} {
		if err := call(); !errors.Is(err, tokenvault.ErrDenied) {
			t.Errorf("%s by somebody else: %v, want ErrDenied", name, err)
		}
	}
}

// K9: what was done to the log behind the vault's back is named, in the database
// and in an export of it.
func TestK9TamperingIsNamed(t *testing.T) {
	const columns = `tenant, at, kind, actor_kind, actor_id, owner_tenant, organization_id, user_id, for_user_id, provider_id,
		connection_id, auth_request_id, run_id, thread_id, detail, writer`
	for _, tc := range []struct {
		name, tampering string
		clever          bool   // then every hash is made to fit
		after           string // then this
		problem         tokenvault.AuditProblem
		position        int64
		seq             int64 // of the entry that is named
	}{
		{
			name: "an entry altered", tampering: `UPDATE audit SET user_id = 'eve' WHERE position = 8`,
			problem: tokenvault.AuditAltered, position: 8, seq: 9,
		},
		{
			name: "its time altered", tampering: `UPDATE audit SET at = at + 1 WHERE position = 8`,
			problem: tokenvault.AuditAltered, position: 8, seq: 9,
		},
		{
			name: "its hash altered", tampering: `UPDATE audit SET hash = 'x' WHERE position = 8`,
			problem: tokenvault.AuditAltered, position: 8, seq: 9,
		},
		{
			name: "the first altered", tampering: `UPDATE audit SET detail = 'x' WHERE position = 1`,
			problem: tokenvault.AuditAltered, position: 1, seq: 1,
		},
		{
			name: "the last altered", tampering: `UPDATE audit SET detail = 'x' WHERE position = 21`,
			problem: tokenvault.AuditAltered, position: 21, seq: 22,
		},
		{
			name: "an entry deleted", tampering: `DELETE FROM audit WHERE position = 8`,
			problem: tokenvault.AuditMissing, position: 8, seq: 10,
		},
		{
			name: "the first deleted", tampering: `DELETE FROM audit WHERE tenant = 'default' AND position <= 3`,
			problem: tokenvault.AuditMissing, position: 1, seq: 4,
		},
		{
			name: "a head's entry deleted", tampering: `DELETE FROM audit WHERE position = 18`,
			problem: tokenvault.AuditMissing, position: 18, seq: 20,
		},
		{
			name: "entries swapped", tampering: `UPDATE audit SET seq = -seq WHERE position IN (8, 9); UPDATE audit SET seq = 10 WHERE position = 8;
			UPDATE audit SET seq = 9 WHERE position = 9`,
			problem: tokenvault.AuditReordered, position: 8, seq: 9,
		},
		{
			name: "an entry inserted where another tenant's was", tampering: `DELETE FROM audit WHERE tenant = 'globex';
			INSERT INTO audit (seq, ` + columns + `, position, hash) SELECT 8, ` + columns + `, 8, 'x' FROM audit WHERE position = 7`,
			problem: tokenvault.AuditInserted, position: 8, seq: 8,
		},
		{
			name: "an entry copied to the end", tampering: `INSERT INTO audit (` + columns + `, position, hash)
			SELECT ` + columns + `, position, hash FROM audit WHERE position = 8`,
			problem: tokenvault.AuditInserted, position: 8, seq: 23,
		},
		{
			name: "an entry inserted without a place", tampering: `INSERT INTO audit (` + columns + `)
			SELECT ` + columns + ` FROM audit WHERE position = 8; UPDATE audit SET writer = '' WHERE position = 0`,
			problem: tokenvault.AuditInserted, position: 0, seq: 23,
		},
		{
			name: "the end cut off", tampering: `DELETE FROM audit WHERE position >= 10`,
			problem: tokenvault.AuditTruncated, position: 10, seq: 13,
		},
		{
			name: "the end cut off at a head", tampering: `DELETE FROM audit WHERE position >= 13`,
			problem: tokenvault.AuditTruncated, position: 13, seq: 19,
		},
		{
			name: "all deleted", tampering: `DELETE FROM audit`,
			problem: tokenvault.AuditTruncated, position: 1, seq: 13,
		},
		{
			name: "an entry altered, and hashes to match", tampering: `UPDATE audit SET user_id = 'eve' WHERE position = 8`, clever: true,
			problem: tokenvault.AuditRewritten, position: 12, seq: 13,
		},
		{
			name: "an entry deleted, and places and hashes to match", tampering: `DELETE FROM audit WHERE position = 8;
			UPDATE audit SET position = position - 1 WHERE position > 8`, clever: true,
			problem: tokenvault.AuditRewritten, position: 12, seq: 13,
		},
		{
			name: "an entry altered, and hashes and heads to match", tampering: `UPDATE audit SET user_id = 'eve' WHERE position = 8`, clever: true,
			after:   `UPDATE audit_heads SET hash = (SELECT hash FROM audit WHERE audit.seq = audit_heads.seq)`,
			problem: tokenvault.AuditHeadForged, position: 12, seq: 13,
		},
		{
			name: "a signature forged", tampering: `UPDATE audit_heads SET mac = zeroblob(32) WHERE position = 18`,
			problem: tokenvault.AuditHeadForged, position: 18, seq: 19,
		},
		{
			name: "a signature of another head", tampering: `UPDATE audit_heads SET mac = (SELECT mac FROM audit_heads WHERE position = 12)`,
			problem: tokenvault.AuditHeadForged, position: 18, seq: 19,
		},
		{
			name: "a key that never was", tampering: `UPDATE audit_heads SET key_version = 2`,
			problem: tokenvault.AuditHeadForged, position: 12, seq: 13,
		},
		{
			name: "the beginning dropped with a forged cut", tampering: `DELETE FROM audit WHERE position <= 12;
			UPDATE audit_heads SET cut = mac WHERE position = 12`,
			problem: tokenvault.AuditHeadForged, position: 12, seq: 13,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newLog(t)
			r.exec(t, unguarded+tc.tampering)
			if tc.clever {
				r.rewrite(t)
			}
			r.exec(t, tc.after)
			want := tokenvault.AuditBreak{
				Problem: tc.problem, Writer: "sqlite", Position: tc.position, EventID: fmt.Sprintf("ev_%016d", tc.seq),
			}
			if tc.position == 0 {
				want.Writer = ""
			}
			if got := r.verify(t).Broken; got == nil || *got != want {
				t.Errorf("broken = %v, want %v", got, want)
			}
			report, err := r.VerifyExport(t.Context(), admin, bytes.NewReader(r.export(t)))
			if err != nil || report.Broken == nil || *report.Broken != want {
				t.Errorf("broken in the export = %v, %v, want %v", report.Broken, err, want)
			}
		})
	}
}

// Whoever has no key still sees that heads and entries do not agree.
func TestK9AnExportIsVerifiedWithoutTheKey(t *testing.T) {
	r := newLog(t)
	lines := bytes.SplitAfter(r.export(t), []byte("\n"))
	for name, change := range map[string]func() [][]byte{
		"a line deleted": func() [][]byte { return slices.Delete(slices.Clone(lines), 8, 9) },
		"a line altered": func() [][]byte {
			changed := slices.Clone(lines)
			changed[8] = bytes.Replace(changed[8], []byte(`"alice"`), []byte(`"mallory"`), 1)
			return changed
		},
		"lines swapped": func() [][]byte {
			changed := slices.Clone(lines)
			changed[8], changed[9] = changed[9], changed[8]
			return changed
		},
		"a head deleted and the end cut off": func() [][]byte { return slices.Delete(slices.Clone(lines), 15, 18) },
	} {
		report, err := tokenvault.VerifyExport(bytes.NewReader(bytes.Join(change(), nil)))
		if err != nil || report.Broken == nil || report.Keyed {
			t.Errorf("%s: %+v, %v", name, report, err)
		}
	}
	if _, err := tokenvault.VerifyExport(strings.NewReader("{}")); !errors.Is(err, tokenvault.ErrInvalid) {
		t.Errorf("no export: %v, want ErrInvalid", err)
	}
	other := newLog(t)
	report, err := other.VerifyExport(t.Context(), admin, bytes.NewReader(r.export(t)))
	if err != nil || report.Broken == nil || report.Broken.Problem != tokenvault.AuditHeadForged {
		t.Errorf("at another vault: %+v, %v, want head forged", report, err)
	}
}

// Entries from before there were chains are counted, and what follows is verified.
func TestEntriesFromBeforeTheChainAreCounted(t *testing.T) {
	r := emptyLog(t)
	r.exec(t, `INSERT INTO audit (tenant, at, kind, actor_kind) VALUES ('default', 1, 'credential.released', 'agent'), ('default', 2, 'credential.released', 'agent')`)
	r.fill(t)
	if got := r.verify(t); got.Broken != nil || got.Unchained != 2 || got.Entries == 0 || got.Heads != 2 {
		t.Errorf("report = %+v", got)
	}
	r.clock.advance(100 * 24 * time.Hour)
	pruned, err := r.PruneAudit(t.Context(), admin, 90*24*time.Hour)
	if err != nil || pruned.Entries != 20 {
		t.Errorf("pruned %+v, %v, want 20 entries", pruned, err)
	}
	if got := r.verify(t); got.Broken != nil || got.Unchained != 0 {
		t.Errorf("report after the pruning = %+v", got)
	}
}

func TestRetentionDropsSignedSegments(t *testing.T) {
	r := newLog(t)
	const age = 90 * 24 * time.Hour
	if _, err := r.PruneAudit(t.Context(), admin, 24*time.Hour-1); !errors.Is(err, tokenvault.ErrInvalid) {
		t.Errorf("less than a day: %v, want ErrInvalid", err)
	}
	if pruned, err := r.PruneAudit(t.Context(), admin, age); err != nil || pruned.Entries != 0 {
		t.Errorf("nothing is old: %+v, %v", pruned, err)
	}
	r.clock.advance(age)
	r.use(t, 1)
	r.restart(t)
	pruned, err := r.PruneAudit(t.Context(), admin, age)
	if err != nil || pruned.Entries != 18 || pruned.Through["sqlite"].Position != 18 {
		t.Errorf("pruned %+v, %v, want 18 entries", pruned, err)
	}
	if events := r.events(t, tokenvault.EventAuditPruned); len(events) != 1 || events[0].ActorID != "operator" || events[0].Detail != "ev_0000000000000019" {
		t.Errorf("events of it: %+v", events)
	}
	want := tokenvault.AuditReport{Entries: 5, Heads: 3, Unsigned: 1, Pruned: 18, Keyed: true}
	if got := r.verify(t); got != want {
		t.Errorf("report = %+v, want %+v", got, want)
	}
	// What is left is guarded as before.
	r.exec(t, unguarded+`DELETE FROM audit WHERE position = 19`)
	if got := r.verify(t).Broken; got == nil || got.Problem != tokenvault.AuditMissing || got.Position != 19 {
		t.Errorf("broken = %v, want 19 missing", got)
	}
}

// A server signs the log each minute in which something was written, and not else.
func TestRunSignsTheAuditLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		for want := range int64(3) {
			if report, err := r.VerifyAudit(t.Context(), admin); err != nil || report.Heads != want || report.Unsigned == 0 {
				t.Errorf("before: %+v, %v, want %d heads and something to sign", report, err, want)
			}
			<-time.After(3*time.Minute + time.Second) // not in the moment in which it signs
			if report, err := r.VerifyAudit(t.Context(), admin); err != nil || report.Heads < want+1 || report.Unsigned != 0 {
				t.Errorf("after: %+v, %v, want %d heads", report, err, want+1)
			}
			r.mustAsk(t, fmt.Sprint("scope", want))
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Every release names who it was for, and in which run and thread.
func TestAReleaseIsAttributed(t *testing.T) {
	r := newRig(t)
	org := tokenvault.Owner{Tenant: "default", OrganizationID: "eng"}
	agent := tokenvault.Actor{Kind: tokenvault.ActorBackend, ID: "helper", Owner: org}
	_, err := r.Resolve(t.Context(), agent, tokenvault.ResolveRequest{ProviderID: "mail", Scopes: []string{"read"}})
	required, ok := errors.AsType[*tokenvault.AuthRequiredError](err)
	if !ok {
		t.Fatal(err)
	}
	orgAdmin := tokenvault.Actor{Kind: tokenvault.ActorUser, ID: "root", Owner: org, OrgAdmin: true}
	if _, err := r.FinishConnect(t.Context(), orgAdmin, r.startAs(t, orgAdmin, required.Request.ID)); err != nil {
		t.Fatal(err)
	}
	agent.Owner.UserID = "bob"
	ask := tokenvault.ResolveRequest{ProviderID: "mail", Scopes: []string{"read"}, RunID: "run", ThreadID: "thread"}
	_, err = r.Resolve(t.Context(), agent, ask)
	if required, ok = errors.AsType[*tokenvault.AuthRequiredError](err); !ok {
		t.Fatal(err)
	}
	user := tokenvault.Actor{Kind: tokenvault.ActorUser, ID: "bob", Owner: agent.Owner}
	if _, err := r.Permit(t.Context(), user, tokenvault.Permit{AuthRequestID: required.Request.ID}); err != nil {
		t.Fatal(err)
	}
	if _, err = r.Resolve(t.Context(), agent, ask); err != nil {
		t.Fatal(err)
	}
	events := r.events(t, tokenvault.EventReleased)
	if len(events) != 1 {
		t.Fatalf("%d releases, want 1", len(events))
	}
	e := events[0]
	if e.ActorID != "helper" || e.Owner != org || e.ForUserID != "bob" || e.RunID != "run" || e.ThreadID != "thread" {
		t.Errorf("the release is recorded as %+v", e)
	}
}

func TestAToolIsAttributed(t *testing.T) {
	r := newRig(t)
	r.connect(t, "read")
	spec := tokenvault.ToolSpec{
		ProviderID: "mail", Scopes: []string{"read"}, Release: tokenvault.ReleaseToken,
		CallIDs: func(context.Context) (runID, threadID string) { return "run", "thread" },
	}
	tool := tokenvault.AuthenticatedTool(r.Vault, spec, func(context.Context, int, *tokenvault.Access) (int, error) { return 0, nil })
	if _, err := tool(t.Context(), aliceAgent, 0); err != nil {
		t.Fatal(err)
	}
	if e := r.events(t, tokenvault.EventReleased); len(e) != 1 || e[0].RunID != "run" || e[0].ThreadID != "thread" {
		t.Errorf("the release is recorded as %+v", e)
	}
}

// Whatever is read as an export, the answer is a report or a FieldError.
func FuzzVerifyExport(f *testing.F) {
	e, h := someEvent(), tokenvault.AuditHead{Tenant: "acme", Writer: "w", Position: 7, EventID: "ev_0000000000000042", KeyVersion: 1, MAC: []byte("mac"), Cut: []byte("cut")}
	for _, line := range []tokenvault.AuditLine{{Entry: &e}, {Head: &h}} {
		text, err := json.Marshal(line)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"type":"entry"}{"type":"head"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		report, err := tokenvault.VerifyExport(bytes.NewReader(text))
		if err != nil && !errors.Is(err, tokenvault.ErrInvalid) {
			t.Error(err)
		}
		if report.Broken != nil && strings.Contains(report.Broken.String(), "%!") {
			t.Errorf("%q", report.Broken)
		}
		var line tokenvault.AuditLine
		if json.Unmarshal(text, &line) != nil {
			return
		}
		again, err := json.Marshal(line)
		if err != nil {
			t.Fatal(err)
		}
		var same tokenvault.AuditLine
		if err := json.Unmarshal(again, &same); err != nil || !cmp.Equal(line, same, cmpopts.EquateEmpty()) {
			t.Errorf("read again, the line differs: %v", err)
		}
	})
}
