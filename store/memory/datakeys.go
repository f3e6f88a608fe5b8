package memory

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/ai-token-vault/tokenvault"
)

func compareKeys(a, b tokenvault.DataKey) int {
	return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Space, b.Space), cmp.Compare(a.Version, b.Version))
}

// ListDataKeys implements [tokenvault.DataKeyStore].
func (s *Store) ListDataKeys(ctx context.Context, tenant string, after tokenvault.DataKey, limit int) ([]tokenvault.DataKey, error) {
	_, unlock, err := s.lock(ctx, "list data keys")
	if err != nil {
		return nil, err
	}
	defer unlock()
	var keys []tokenvault.DataKey
	for _, k := range s.dataKeys {
		if (tenant == "" || k.Tenant == tenant) && len(k.Wrapped) > 0 && compareKeys(k, after) > 0 {
			keys = append(keys, copyDataKey(k))
		}
	}
	slices.SortFunc(keys, compareKeys)
	return keys[:min(len(keys), limited(limit))], nil
}

// RewrapDataKey implements [tokenvault.DataKeyStore].
func (s *Store) RewrapDataKey(ctx context.Context, key tokenvault.DataKey, wrapped tokenvault.Sealed, event tokenvault.Event) error {
	now, unlock, err := s.lock(ctx, "rewrap data key")
	if err != nil {
		return err
	}
	defer unlock()
	id := keyID{key.Tenant, key.Space, key.Version}
	stored, ok := s.dataKeys[id]
	if !ok || len(stored.Wrapped) == 0 || !bytes.Equal(stored.Wrapped, key.Wrapped) {
		return failed("rewrap data key", tokenvault.ErrConflict)
	}
	stored.Wrapped = slices.Clone(wrapped)
	s.dataKeys[id] = stored
	s.write(now, event)
	return nil
}

// DeleteDataKey implements [tokenvault.DataKeyStore].
func (s *Store) DeleteDataKey(ctx context.Context, key tokenvault.DataKey, event tokenvault.Event) error {
	now, unlock, err := s.lock(ctx, "delete data key")
	if err != nil {
		return err
	}
	defer unlock()
	id := keyID{key.Tenant, key.Space, key.Version}
	if _, ok := s.dataKeys[id]; !ok {
		return nil
	}
	newest := id.version
	for other := range s.dataKeys {
		if other.tenant == id.tenant && other.space == id.space {
			newest = max(newest, other.version)
		}
	}
	used := slices.ContainsFunc(s.sealedRows(), func(r tokenvault.SealedRow) bool {
		return keyID{r.Owner.Tenant, r.Record.KeySpace, r.Record.KeyVersion} == id
	})
	if newest == id.version || used {
		return failed("delete data key", tokenvault.ErrConflict)
	}
	delete(s.dataKeys, id)
	s.write(now, event)
	return nil
}

// checkKey refuses a record whose data key is not there.
func (s *Store) checkKey(tenant string, r tokenvault.SealedRecord) error {
	key := s.dataKeys[keyID{tenant, r.KeySpace, r.KeyVersion}]
	if len(r.Blob) > 0 && len(key.Wrapped) == 0 {
		return tokenvault.ErrConflict
	}
	return nil
}

// sealedRows returns every row that holds a sealed record.
func (s *Store) sealedRows() []tokenvault.SealedRow {
	var rows []tokenvault.SealedRow
	add := func(table tokenvault.SealedTable, owner tokenvault.Owner, id string, version int64, record tokenvault.SealedRecord) {
		if len(record.Blob) > 0 {
			rows = append(rows, tokenvault.SealedRow{Table: table, Owner: owner, ID: id, Version: version, Record: copyRecord(record)})
		}
	}
	for _, c := range s.connections {
		add(tokenvault.SealedConnections, c.Owner, c.ID, c.Version, c.Record)
	}
	for _, a := range s.apps {
		add(tokenvault.SealedApps, tokenvault.Owner{Tenant: a.Tenant, OrganizationID: a.OrganizationID}, a.ID, a.Version, a.Record)
	}
	for _, a := range s.attempts {
		add(tokenvault.SealedAttempts, a.Owner, a.ID, 1, a.Private)
	}
	for _, p := range s.providers {
		owner := tokenvault.Owner{Tenant: p.Tenant, OrganizationID: p.OrganizationID}
		add(tokenvault.SealedProviders, owner, p.OrganizationID+"/"+p.ID, p.Version, p.Record)
	}
	for _, w := range s.webhooks {
		add(tokenvault.SealedWebhooks, tokenvault.Owner{Tenant: w.Tenant, OrganizationID: w.OrganizationID}, w.ID, w.Version, w.Record)
	}
	for _, j := range s.jobs {
		add(tokenvault.SealedJobs, j.Owner, j.ID, 1, j.Record)
	}
	return rows
}

// ListSealed implements [tokenvault.SealedStore].
func (s *Store) ListSealed(ctx context.Context, q tokenvault.SealedQuery) ([]tokenvault.SealedRow, error) {
	_, unlock, err := s.lock(ctx, "list sealed")
	if err != nil {
		return nil, err
	}
	defer unlock()
	rows := slices.DeleteFunc(s.sealedRows(), func(r tokenvault.SealedRow) bool {
		return r.Table != q.Table || r.Owner.Tenant != q.Tenant ||
			q.KeySpace != "" && r.Record.KeySpace != q.KeySpace
	})
	return paged(rows, func(r tokenvault.SealedRow) string { return r.ID }, q.Page), nil
}

// Reseal implements [tokenvault.SealedStore].
func (s *Store) Reseal(ctx context.Context, rows []tokenvault.Resealed) (int, error) {
	_, unlock, err := s.lock(ctx, "reseal")
	if err != nil {
		return 0, err
	}
	defer unlock()
	for _, r := range rows {
		if err := s.checkKey(r.Owner.Tenant, r.New); err != nil {
			return 0, failed("reseal", err)
		}
	}
	resealed := 0
	for _, r := range rows {
		if s.reseal(r) {
			resealed++
		}
	}
	return resealed, nil
}

// reseal replaces a record and reports whether it was still the one that was read.
func (s *Store) reseal(r tokenvault.Resealed) bool {
	row, record := rowID{r.Owner.Tenant, r.ID}, copyRecord(r.New)
	same := func(stored tokenvault.SealedRecord) bool { return bytes.Equal(stored.Blob, r.Record.Blob) }
	switch r.Table {
	case tokenvault.SealedConnections:
		c, ok := s.connections[row]
		if !ok || !same(c.Record) {
			return false
		}
		c.Record = record
		s.connections[row] = c
	case tokenvault.SealedApps:
		a, ok := s.apps[row]
		if !ok || !same(a.Record) {
			return false
		}
		a.Record = record
		s.apps[row] = a
	case tokenvault.SealedJobs:
		j, ok := s.jobs[r.ID]
		if !ok || j.Owner.Tenant != r.Owner.Tenant || !same(j.Record) {
			return false
		}
		j.Record = record
		s.jobs[r.ID] = j
	case tokenvault.SealedProviders:
		key := providerID{r.Owner.Tenant, r.Owner.OrganizationID, strings.TrimPrefix(r.ID, r.Owner.OrganizationID+"/")}
		p, ok := s.providers[key]
		if !ok || !same(p.Record) {
			return false
		}
		p.Record = record
		s.providers[key] = p
	case tokenvault.SealedWebhooks:
		w, ok := s.webhooks[row]
		if !ok || !same(w.Record) {
			return false
		}
		w.Record = record
		s.webhooks[row] = w
	case tokenvault.SealedAttempts:
		for hash, a := range s.attempts {
			if a.Owner.Tenant == r.Owner.Tenant && a.ID == r.ID && same(a.Private) {
				a.Private = record
				s.attempts[hash] = a
				return true
			}
		}
		return false
	}
	return true
}

// CountSealed implements [tokenvault.SealedStore].
func (s *Store) CountSealed(ctx context.Context, tenant string) ([]tokenvault.SealedCount, error) {
	_, unlock, err := s.lock(ctx, "count sealed")
	if err != nil {
		return nil, err
	}
	defer unlock()
	counts := map[tokenvault.SealedCount]int{}
	for _, r := range s.sealedRows() {
		if r.Owner.Tenant == tenant {
			counts[tokenvault.SealedCount{Table: r.Table, KeySpace: r.Record.KeySpace, KeyVersion: r.Record.KeyVersion}]++
		}
	}
	var list []tokenvault.SealedCount
	for c := range maps.Keys(counts) {
		n := counts[c]
		c.Records = n
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b tokenvault.SealedCount) int {
		return cmp.Or(cmp.Compare(a.KeySpace, b.KeySpace), cmp.Compare(a.KeyVersion, b.KeyVersion), cmp.Compare(a.Table, b.Table))
	})
	return list, nil
}
