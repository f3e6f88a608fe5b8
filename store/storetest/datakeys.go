package storetest

import (
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

func dataKeyCases() []testCase {
	return []testCase{
		{"data keys are listed in order, of one tenant or of all", dataKeysListed},
		{"only the wrapped key that was read is replaced", dataKeyRewrapped},
		{"an old data key that seals nothing is deleted", dataKeyDeleted},
		{"a data key that is needed is not deleted", dataKeyNeeded},
		{"a record without its data key is refused", recordWithoutKey},
		{"sealed records of every table are listed and counted", sealedListed},
		{"sealing again changes the record alone", resealedAlone},
		{"what moved on is not sealed again", resealedMovedOn},
	}
}

// allKeys lists data keys in pages of two.
func (f *fixture) allKeys(t *testing.T, tenant string) (keys []tokenvault.DataKey) {
	t.Helper()
	var after tokenvault.DataKey
	for {
		page, err := f.ListDataKeys(t.Context(), tenant, after, 2)
		if err != nil {
			t.Fatalf("ListDataKeys: %v", err)
		}
		if len(page) == 0 {
			return keys
		}
		keys = append(keys, page...)
		after = page[len(page)-1]
	}
}

func dataKeysListed(t *testing.T, f *fixture) {
	ten, two, theirs := f.dataKey(t, acme, 10), f.dataKey(t, acme, 2), f.dataKey(t, "globex", 1)
	user, err := f.CreateDataKey(t.Context(), tokenvault.DataKey{
		Tenant: acme, Space: "user:00", Version: 1, Wrapped: tokenvault.Sealed("w"),
	}, tokenvault.Event{})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "keys of acme", f.allKeys(t, acme), []tokenvault.DataKey{two, ten, user})
	equal(t, "keys of all tenants", f.allKeys(t, ""), []tokenvault.DataKey{two, ten, user, theirs})
}

func dataKeyRewrapped(t *testing.T, f *fixture) {
	key, other := f.dataKey(t, acme, 1), f.dataKey(t, "globex", 1)
	f.advance(time.Minute)
	event := f.event(tokenvault.EventDataKeyRewrapped, eng())
	f.writes(t, func() {
		if err := f.RewrapDataKey(t.Context(), key, tokenvault.Sealed("again\x00\xff"), event); err != nil {
			t.Fatal(err)
		}
		// It was replaced already: whoever was slower must not win.
		wantError(t, "RewrapDataKey of what is not stored", f.RewrapDataKey(t.Context(), key, tokenvault.Sealed("later"), event), tokenvault.ErrConflict)
	}, event)
	key.Wrapped = tokenvault.Sealed("again\x00\xff")
	equal(t, "keys", f.allKeys(t, ""), []tokenvault.DataKey{key, other})
	unknown := key
	unknown.Version = 9
	wantError(t, "RewrapDataKey of an unknown version", f.RewrapDataKey(t.Context(), unknown, key.Wrapped, event), tokenvault.ErrConflict)
}

func dataKeyDeleted(t *testing.T, f *fixture) {
	one, two := f.dataKey(t, acme, 1), f.dataKey(t, acme, 2)
	theirs := f.dataKey(t, "globex", 1)
	event := f.event(tokenvault.EventDataKeyDeleted, eng())
	f.writes(t, func() {
		for range 2 { // twice is no error, and no second event
			if err := f.DeleteDataKey(t.Context(), one, event); err != nil {
				t.Fatal(err)
			}
		}
	}, event)
	equal(t, "keys", f.allKeys(t, ""), []tokenvault.DataKey{two, theirs})
}

func dataKeyNeeded(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc") // under version 1
	one, two := f.allKeys(t, acme)[0], f.dataKey(t, acme, 2)
	event := f.event(tokenvault.EventDataKeyDeleted, eng())
	f.refuses(t, tokenvault.ErrConflict, func() error { return f.DeleteDataKey(t.Context(), one, event) })
	f.refuses(t, tokenvault.ErrConflict, func() error { return f.DeleteDataKey(t.Context(), two, event) }) // the newest
	f.revoke(t, c)
	if err := f.DeleteDataKey(t.Context(), one, event); err != nil {
		t.Errorf("DeleteDataKey after the last record was erased: %v", err)
	}
	for name, keep := range map[string]func(){
		"app": func() {
			app := f.app("")
			app.Record.KeyVersion = 2
			f.put(t, app)
		},
		"attempt": func() {
			cmd := f.attempt(f.open(t, alice()))
			cmd.Attempt.Private.KeyVersion = 3
			if err := f.BeginAttempt(t.Context(), cmd); err != nil {
				t.Fatal(err)
			}
		},
		"job": func() {
			cmd := f.revocation(f.connectUnder(t, 4))
			cmd.Job = f.job(c)
			cmd.Job.Record.KeyVersion = 4
			if _, err := f.Revoke(t.Context(), cmd); err != nil {
				t.Fatal(err)
			}
		},
	} {
		for version := range uint32(3) {
			f.dataKey(t, acme, version+3)
		}
		keep()
		needed := map[string]uint32{"app": 2, "attempt": 3, "job": 4}[name]
		wantError(t, "DeleteDataKey of what seals an "+name,
			f.DeleteDataKey(t.Context(), tokenvault.DataKey{Tenant: acme, Space: "org:eng", Version: needed}, event), tokenvault.ErrConflict)
	}
}

// connectUnder stores a connection whose record says that a version sealed it.
func (f *fixture) connectUnder(t *testing.T, version uint32) tokenvault.SealedConnection {
	t.Helper()
	c := f.fresh(alice(), f.id("acc"))
	c.Record.KeyVersion = version
	return f.keep(t, c)
}

func recordWithoutKey(t *testing.T, f *fixture) {
	c := f.connect(t, alice(), "acc")
	lost := f.sealed()
	lost.KeyVersion = 7
	fresh := f.fresh(alice(), "other")
	fresh.Record = lost
	transfer := f.sharing(f.connect(t, member("alice"), f.id("acc")), eng())
	transfer.Record = lost
	f.refusesTransfer(t, tokenvault.ErrConflict, transfer)

	f.refusesSettle(t, tokenvault.ErrConflict, f.connecting(f.open(t, alice()), fresh))
	f.refuses(t, tokenvault.ErrConflict, func() error {
		cmd := f.revocation(c)
		cmd.Job = f.job(c)
		cmd.Job.Record = lost
		_, err := f.Revoke(t.Context(), cmd)
		return err
	})
	app := f.app("")
	app.Record = lost
	_, err := f.PutApp(t.Context(), app, f.event(tokenvault.EventAppSet, alice()))
	wantError(t, "PutApp", err, tokenvault.ErrConflict)
	attempt := f.attempt(f.open(t, alice()))
	attempt.Attempt.Private = lost
	f.refusesAttempt(t, tokenvault.ErrConflict, attempt)
	custom := f.customProvider("eng", "intranet")
	custom.Record = lost
	f.refusesProvider(t, tokenvault.ErrConflict, f.providerPut(custom))
	handOver := f.begin(t)
	if _, err := f.AdvanceAttempt(t.Context(), handOver.Attempt.StateHash, tokenvault.AttemptBegun, tokenvault.AttemptReturned); err != nil {
		t.Fatal(err)
	}
	wantError(t, "HandOver", f.HandOver(t.Context(), tokenvault.AttemptHandOver{
		StateHash: handOver.Attempt.StateHash, NewHash: "new", Private: lost, TTL: time.Minute,
	}), tokenvault.ErrConflict)

	turn := f.claim(t, c.Connection, time.Minute)
	cmd := f.commit(turn)
	cmd.Record = lost
	f.refuses(t, tokenvault.ErrConflict, func() error {
		_, err := f.CommitRefresh(t.Context(), cmd)
		return err
	})
	cmd.Record = f.sealed() // the turn goes on
	if _, err := f.CommitRefresh(t.Context(), cmd); err != nil {
		t.Errorf("CommitRefresh of what was sealed again: %v", err)
	}
}

// fill stores a sealed record in every table, for alice or her tenant, and one of
// each for another tenant.
func (f *fixture) fill(t *testing.T) (want map[tokenvault.SealedTable]tokenvault.SealedRow) {
	t.Helper()
	want = make(map[tokenvault.SealedTable]tokenvault.SealedRow)
	c := f.connect(t, alice(), "acc")
	want[tokenvault.SealedConnections] = tokenvault.SealedRow{Owner: alice(), ID: c.ID, Version: 1, Record: c.Record}
	app := f.app("")
	f.put(t, app)
	want[tokenvault.SealedApps] = tokenvault.SealedRow{Owner: tokenvault.Owner{Tenant: acme}, ID: app.ID, Version: 1, Record: app.Record}
	attempt := f.attempt(f.open(t, alice()))
	if err := f.BeginAttempt(t.Context(), attempt); err != nil {
		t.Fatal(err)
	}
	want[tokenvault.SealedAttempts] = tokenvault.SealedRow{Owner: attempt.Attempt.Owner, ID: attempt.Attempt.ID, Version: 1, Record: attempt.Attempt.Private}
	custom := f.putProvider(t, f.customProvider("eng", "intranet"))
	want[tokenvault.SealedProviders] = tokenvault.SealedRow{Owner: eng(), ID: "eng/intranet", Version: 1, Record: custom.Record}
	hook := f.putWebhook(t, f.webhook("eng"))
	want[tokenvault.SealedWebhooks] = tokenvault.SealedRow{Owner: eng(), ID: hook.ID, Version: 1, Record: hook.Record}
	revoked := f.connect(t, alice(), "revoked")
	cmd := f.revocation(revoked)
	cmd.Job = f.job(revoked)
	if _, err := f.Revoke(t.Context(), cmd); err != nil {
		t.Fatal(err)
	}
	want[tokenvault.SealedJobs] = tokenvault.SealedRow{Owner: alice(), ID: cmd.Job.ID, Version: 1, Record: cmd.Job.Record}
	f.connect(t, tokenvault.Owner{Tenant: "globex", UserID: "alice"}, "acc")
	for table, r := range want {
		r.Table = table
		want[table] = r
	}
	return want
}

func (f *fixture) sealedIn(t *testing.T, table tokenvault.SealedTable, space string) []tokenvault.SealedRow {
	t.Helper()
	rows, err := f.ListSealed(t.Context(), tokenvault.SealedQuery{Tenant: acme, Table: table, KeySpace: space, Page: tokenvault.Page{Limit: 10}})
	if err != nil {
		t.Fatalf("ListSealed: %v", err)
	}
	return rows
}

func sealedListed(t *testing.T, f *fixture) {
	want := f.fill(t)
	var counts []tokenvault.SealedCount
	for _, table := range tokenvault.SealedTables() {
		if _, filled := want[table]; !filled {
			t.Fatalf("the suite stores no %s", table)
		}
		equal(t, "sealed "+string(table), f.sealedIn(t, table, ""), []tokenvault.SealedRow{want[table]})
		equal(t, "sealed of the space", f.sealedIn(t, table, "org:eng"), []tokenvault.SealedRow{want[table]})
		equal(t, "sealed of another space", f.sealedIn(t, table, "org:x"), []tokenvault.SealedRow(nil))
		counts = append(counts, tokenvault.SealedCount{Table: table, KeySpace: "org:eng", KeyVersion: 1, Records: 1})
	}
	got, err := f.CountSealed(t.Context(), acme)
	if err != nil {
		t.Fatal(err)
	}
	bySpace := func(list []tokenvault.SealedCount) map[tokenvault.SealedCount]bool {
		set := map[tokenvault.SealedCount]bool{}
		for _, c := range list {
			set[c] = true
		}
		return set
	}
	equal(t, "CountSealed", bySpace(got), bySpace(counts))
	ids := []string{want[tokenvault.SealedConnections].ID, f.connect(t, bob(), "a").ID, f.connect(t, bob(), "b").ID}
	checkPages(t, func(p tokenvault.Page) ([]tokenvault.SealedRow, error) {
		return f.ListSealed(t.Context(), tokenvault.SealedQuery{Tenant: acme, Table: tokenvault.SealedConnections, Page: p})
	}, func(r tokenvault.SealedRow) string { return r.ID }, ids)
}

func resealedAlone(t *testing.T, f *fixture) {
	rows := f.fill(t)
	f.dataKey(t, acme, 2)
	c := f.get(t, alice(), rows[tokenvault.SealedConnections].ID)
	turn := f.claim(t, c.Connection, time.Minute)
	c = f.get(t, alice(), c.ID)
	f.advance(time.Second)
	var cmd []tokenvault.Resealed
	for table, r := range rows {
		again := f.sealed()
		again.KeyVersion = 2
		cmd = append(cmd, tokenvault.Resealed{SealedRow: r, New: again})
		r.Record = again
		rows[table] = r
	}
	f.writes(t, func() {
		if n, err := f.Reseal(t.Context(), cmd); err != nil || n != len(cmd) {
			t.Fatalf("Reseal = %d, %v", n, err)
		}
	})
	for table, r := range rows {
		equal(t, "sealed again: "+string(table), f.sealedIn(t, table, ""), []tokenvault.SealedRow{r})
	}
	c.Record = rows[tokenvault.SealedConnections].Record
	equal(t, "the connection", f.get(t, alice(), c.ID), c)
	// Lease and fence stand: nobody else gets a turn, and the turn can end.
	if other := f.claimAny(t, c.Connection, time.Minute); other.Held {
		t.Error("sealing again ended a lease")
	}
	if _, err := f.CommitRefresh(t.Context(), f.commit(turn)); err != nil {
		t.Errorf("CommitRefresh after sealing again: %v", err)
	}
}

func resealedMovedOn(t *testing.T, f *fixture) {
	old := f.fill(t)[tokenvault.SealedConnections]
	f.dataKey(t, acme, 2)
	c := f.get(t, alice(), old.ID)
	now, err := f.CommitRefresh(t.Context(), f.commit(f.claim(t, c.Connection, time.Minute)))
	if err != nil {
		t.Fatal(err)
	}
	again := f.sealed()
	again.KeyVersion = 2
	for name, row := range map[string]tokenvault.SealedRow{
		"a refreshed row": old, "an unknown row": {Table: old.Table, Owner: alice(), ID: "cn_missing", Version: 1, Record: old.Record},
		"another tenant's": {Table: old.Table, Owner: tokenvault.Owner{Tenant: "globex"}, ID: old.ID, Version: 2, Record: now.Record},
	} {
		f.dataKeyOf(t, row.Owner.Tenant, 2)
		n, err := f.Reseal(t.Context(), []tokenvault.Resealed{{SealedRow: row, New: again}})
		if err != nil || n != 0 {
			t.Errorf("%s: Reseal = %d, %v; want none", name, n, err)
		}
	}
	equal(t, "the connection", f.get(t, alice(), c.ID), now)
	lost := again
	lost.KeyVersion = 9
	_, err = f.Reseal(t.Context(), []tokenvault.Resealed{{SealedRow: tokenvault.SealedRow{
		Table: old.Table, Owner: alice(), ID: c.ID, Version: 2, Record: now.Record,
	}, New: lost}})
	wantError(t, "Reseal under a key that is not there", err, tokenvault.ErrConflict)
	equal(t, "the connection", f.get(t, alice(), c.ID), now)
}

func (f *fixture) dataKeyOf(t *testing.T, tenant string, version uint32) {
	t.Helper()
	if _, err := f.GetDataKey(t.Context(), tenant, "org:eng", version); err != nil {
		f.dataKey(t, tenant, version)
	}
}
