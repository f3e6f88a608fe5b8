package storetest

import (
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

func revokeCases() []testCase {
	return []testCase{
		{"the record is erased and the permissions deleted", revokeErases},
		{"the job and the event are written with it", revokeWrites},
		{"revoking twice changes nothing", revokeTwice},
		{"a refresh under way is fenced off", revokeFences},
		{"a revoked connection is not refreshed", revokedIsNotRefreshed},
		{"a connection that needs its owner can be revoked", revokeNeedsReauth},
		{"an unknown connection is not found", revokeUnknown},
	}
}

func (f *fixture) revocation(c tokenvault.SealedConnection) tokenvault.Revocation {
	return tokenvault.Revocation{Owner: c.Owner, ConnectionID: c.ID, Event: f.event(tokenvault.EventRevoked, c.Owner)}
}

func (f *fixture) job(c tokenvault.SealedConnection) *tokenvault.Job {
	return &tokenvault.Job{
		ID: f.id("jb"), Kind: tokenvault.JobRevokeGrant, Owner: c.Owner, ProviderID: c.ProviderID, AppID: c.AppID,
		ConnectionID: c.ID, Record: f.sealed(),
	}
}

// revoke ends c without a job.
func (f *fixture) revoke(t *testing.T, c tokenvault.SealedConnection) tokenvault.Connection {
	t.Helper()
	revoked, err := f.Revoke(t.Context(), f.revocation(c))
	if err != nil {
		t.Fatalf("Revoke: %v", err)
	}
	return revoked
}

func revokeErases(t *testing.T, f *fixture) {
	c, other := f.connect(t, eng(), "acc"), f.connect(t, member("alice"), "other")
	for _, owner := range []tokenvault.Owner{eng(), member("alice"), member("bob")} {
		f.permit(t, f.permission(owner, c.ID, "read"))
	}
	f.permit(t, f.permission(member("alice"), other.ID, "read"))
	f.advance(time.Minute)
	revoked := f.revoke(t, c)

	want := c
	want.Status, want.Record = tokenvault.ConnectionRevoked, tokenvault.SealedRecord{}
	want.RevokedAt, want.UpdatedAt = f.now(), f.now()
	equal(t, "Revoke", revoked, want.Connection)
	equal(t, "GetConnection", f.get(t, eng(), c.ID), want)
	for owner, left := range map[tokenvault.Owner]int{eng(): 0, member("alice"): 1, member("bob"): 0} {
		if got := f.permissions(t, owner); len(got) != left {
			t.Errorf("%v has %d permissions, want %d", owner, len(got), left)
		}
	}
	equal(t, "the other connection", f.get(t, other.Owner, other.ID), other)
}

func revokeWrites(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	cmd := f.revocation(c)
	cmd.Job = f.job(c)
	f.writes(t, func() {
		if _, err := f.Revoke(t.Context(), cmd); err != nil {
			t.Fatal(err)
		}
	}, cmd.Event)
	want := *cmd.Job
	want.Attempts, want.CreatedAt = 1, f.now()
	equal(t, "ClaimJobs", f.claimJobs(t), []tokenvault.Job{want})
}

func revokeTwice(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	first := f.revoke(t, c)
	f.advance(time.Minute)
	cmd := f.revocation(c)
	cmd.Job = f.job(c)
	f.writes(t, func() {
		again, err := f.Revoke(t.Context(), cmd)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "Revoke again", again, first)
	})
	if jobs := f.claimJobs(t); len(jobs) != 0 {
		t.Errorf("revoking again left %d jobs", len(jobs))
	}
}

func revokeFences(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	turn := f.claim(t, c.Connection, time.Minute)
	f.revoke(t, c)
	f.refuses(t, tokenvault.ErrFenced, func() error {
		_, err := f.CommitRefresh(t.Context(), f.commit(turn))
		return err
	})
	f.refuses(t, tokenvault.ErrFenced, func() error { return f.FailRefresh(t.Context(), f.failure(turn)) })
}

func revokedIsNotRefreshed(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	f.revoke(t, c)
	turn := f.claimAny(t, c.Connection, time.Minute)
	if turn.Held || turn.Connection.Status != tokenvault.ConnectionRevoked || len(turn.Connection.Record.Blob) != 0 {
		t.Errorf("turn = %+v, want one that is not held, and the row as it is", turn)
	}
}

func revokeNeedsReauth(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	f.fail(t, f.claim(t, c.Connection, time.Minute), tokenvault.ReauthRejected)
	if got := f.revoke(t, c); got.Status != tokenvault.ConnectionRevoked || got.Reason != "" {
		t.Errorf("status = %s with reason %q, want revoked without", got.Status, got.Reason)
	}
}

func revokeUnknown(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	cmd := f.revocation(c)
	cmd.ConnectionID, cmd.Job = "cn_missing", f.job(c)
	f.refuses(t, tokenvault.ErrNotFound, func() error {
		_, err := f.Revoke(t.Context(), cmd)
		return err
	})
	if jobs := f.claimJobs(t); len(jobs) != 0 {
		t.Errorf("a refused revocation left %d jobs", len(jobs))
	}
}
