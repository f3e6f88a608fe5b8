package tokenvault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	keyBatch    = 100
	resealBatch = 200

	maxVerifyTries = 10
)

// mayKeepKeys refuses everybody but an administrator of the whole tenant.
func (v *Vault) mayKeepKeys(actor Actor) error {
	if err := v.checkActor(actor); err != nil {
		return err
	}
	if actor.Kind != ActorAdmin || actor.Owner.OrganizationID != "" {
		return fmt.Errorf("only an administrator of the tenant handles keys: %w", ErrDenied)
	}
	return nil
}

// eachDataKey calls do for every data key of the tenant, or of all if it is empty.
func (v *Vault) eachDataKey(ctx context.Context, tenant string, do func(DataKey) error) error {
	var after DataKey
	for {
		keys, err := v.store.ListDataKeys(ctx, tenant, after, keyBatch)
		if err != nil {
			return fmt.Errorf("data keys: %w", err)
		}
		for _, key := range keys {
			if err := do(key); err != nil {
				return err
			}
			after = key
		}
		if len(keys) < keyBatch {
			return nil
		}
	}
}

// A DataKeyUse is a data key and how many records it seals.
type DataKeyUse struct {
	DataKey
	Records int
}

// DataKeys returns the data keys of all tenants in the store, since they share the
// root key. Only an administrator of the whole tenant may.
func (v *Vault) DataKeys(ctx context.Context, actor Actor) ([]DataKeyUse, error) {
	if err := v.mayKeepKeys(actor); err != nil {
		return nil, err
	}
	var uses []DataKeyUse
	records := map[keyRef]int{}
	counted := map[string]bool{}
	err := v.eachDataKey(ctx, "", func(key DataKey) error {
		if !counted[key.Tenant] {
			counted[key.Tenant] = true
			counts, err := v.store.CountSealed(ctx, key.Tenant)
			if err != nil {
				return fmt.Errorf("sealed records: %w", err)
			}
			for _, c := range counts {
				records[keyRef{key.Tenant, c.KeySpace, c.KeyVersion}] += c.Records
			}
		}
		uses = append(uses, DataKeyUse{key, records[keyRef{key.Tenant, key.Space, key.Version}]})
		return nil
	})
	return uses, err
}

// An Unreadable is something sealed that cannot be opened.
type Unreadable struct {
	Tenant string
	// Table is "data_key", "spool" or a [SealedTable].
	Table string
	// ID is the row's; for a data key its space and version.
	ID         string
	KeySpace   string
	KeyVersion uint32
}

// A Verification is what [Vault.VerifySealed] found.
type Verification struct {
	DataKeys   int
	Records    int
	Unreadable []Unreadable
	// Oldest is when the oldest data key was made that seals what is new.
	Oldest time.Time
}

// VerifySealed opens every data key and every sealed record of all tenants in the
// store, and changes nothing. Only an administrator of the whole tenant may.
func (v *Vault) VerifySealed(ctx context.Context, actor Actor) (Verification, error) {
	var found Verification
	if err := v.mayKeepKeys(actor); err != nil {
		return found, err
	}
	tenants := []string{v.opts.Tenant}
	newest := map[keyRef]DataKey{}
	err := v.eachDataKey(ctx, "", func(key DataKey) error {
		found.DataKeys++
		newest[keyRef{tenant: key.Tenant, space: key.Space}] = key // the last of a space is the newest
		if !slices.Contains(tenants, key.Tenant) {
			tenants = append(tenants, key.Tenant)
		}
		_, err := v.keys.unwrap(ctx, key)
		if errors.Is(err, ErrUnsealable) {
			id := fmt.Sprintf("%s/%d", key.Space, key.Version)
			found.Unreadable = append(found.Unreadable, Unreadable{key.Tenant, "data_key", id, key.Space, key.Version})
			return nil
		}
		return err
	})
	if err != nil {
		return found, err
	}
	for _, key := range newest {
		if found.Oldest.IsZero() || key.CreatedAt.Before(found.Oldest) {
			found.Oldest = key.CreatedAt
		}
	}
	for _, tenant := range tenants {
		if err := v.verifyTenant(ctx, tenant, &found); err != nil {
			return found, err
		}
	}
	return found, v.verifySpool(ctx, &found)
}

func (v *Vault) verifyTenant(ctx context.Context, tenant string, found *Verification) error {
	before := SealedRow{}
	return v.eachSealed(ctx, SealedQuery{Tenant: tenant}, func(rows []SealedRow) error {
		for _, row := range rows {
			if before.Table != row.Table {
				before.ID = ""
			}
			found.Records++
			unreadable, err := v.isUnreadable(ctx, row, before.ID)
			if err != nil {
				return err
			}
			if unreadable {
				found.Unreadable = append(found.Unreadable, Unreadable{tenant, string(row.Table), row.ID, row.Record.KeySpace, row.Record.KeyVersion})
			}
			before = row
		}
		return nil
	})
}

// isUnreadable reports whether a row cannot be opened, as it was read or as it is
// now: it may have been sealed again since. after is the id before the row's.
func (v *Vault) isUnreadable(ctx context.Context, row SealedRow, after string) (bool, error) {
	for try := 0; ; try++ {
		_, _, err := v.openRow(ctx, row)
		if err == nil {
			return false, nil
		}
		if !errors.Is(err, ErrUnsealable) && !errors.Is(err, ErrNotFound) {
			return false, err
		}
		now, err := v.store.ListSealed(ctx, SealedQuery{Tenant: row.Owner.Tenant, Table: row.Table, Page: Page{After: after, Limit: 1}})
		if err != nil {
			return false, fmt.Errorf("sealed records: %w", err)
		}
		if len(now) == 0 || now[0].ID != row.ID {
			return false, nil // deleted meanwhile
		}
		if bytes.Equal(now[0].Record.Blob, row.Record.Blob) || try == maxVerifyTries {
			return true, nil
		}
		row = now[0]
	}
}

func (v *Vault) verifySpool(ctx context.Context, found *Verification) error {
	if v.opts.Spool == nil {
		return nil
	}
	names, err := v.opts.Spool.Names(ctx)
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	for _, name := range names {
		found.Records++
		s, err := v.spooledOf(ctx, name)
		if err == nil {
			_, err = v.keys.open(ctx, s.place(), s.commit.Record, nil)
		}
		if errors.Is(err, ErrUnsealable) || errors.Is(err, ErrNotFound) && s.version != 0 {
			r := s.commit.Record
			found.Unreadable = append(found.Unreadable, Unreadable{s.commit.Owner.Tenant, "spool", name, r.KeySpace, r.KeyVersion})
			continue
		}
		if err != nil && !errors.Is(err, ErrNotFound) { // not there any more: it was stored
			return err
		}
	}
	return nil
}

// eachSealed calls do for the rows of every sealed table, in batches.
func (v *Vault) eachSealed(ctx context.Context, q SealedQuery, do func([]SealedRow) error) error {
	for _, q.Table = range SealedTables() {
		q.Page = Page{Limit: resealBatch}
		for {
			rows, err := v.store.ListSealed(ctx, q)
			if err != nil {
				return fmt.Errorf("sealed records: %w", err)
			}
			if len(rows) > 0 {
				if err := do(rows); err != nil {
					return err
				}
				q.Page.After = rows[len(rows)-1].ID
			}
			if len(rows) < resealBatch {
				break
			}
		}
	}
	return nil
}

// openRow opens a row's record and says at which place it was sealed.
func (v *Vault) openRow(ctx context.Context, row SealedRow) (plaintext []byte, at place, err error) {
	for _, at = range placesOf(row) {
		if plaintext, err = v.keys.open(ctx, at, row.Record, nil); !errors.Is(err, ErrUnsealable) {
			break
		}
	}
	return plaintext, at, err
}

// placesOf returns where the record of a row may have been sealed.
func placesOf(row SealedRow) []place {
	switch row.Table {
	case SealedConnections:
		return []place{connectionPlace(Connection{ID: row.ID, Owner: row.Owner}, row.Version)}
	case SealedApps:
		return []place{appPlace(App{ID: row.ID, Tenant: row.Owner.Tenant, OrganizationID: row.Owner.OrganizationID, Version: row.Version})}
	case SealedAttempts:
		a := Attempt{ID: row.ID, Owner: row.Owner}
		return []place{attemptPlace(a), returnPlace(a), devicePlace(a), loginPlace(a)}
	case SealedProviders:
		p := SealedProvider{Tenant: row.Owner.Tenant, OrganizationID: row.Owner.OrganizationID, Version: row.Version}
		p.ID = strings.TrimPrefix(row.ID, p.OrganizationID+"/")
		return []place{providerPlace(p)}
	case SealedWebhooks:
		return []place{webhookPlace(Webhook{ID: row.ID, Tenant: row.Owner.Tenant, OrganizationID: row.Owner.OrganizationID, Version: row.Version})}
	case SealedJobs:
		return []place{jobPlace(Job{ID: row.ID, Owner: row.Owner})}
	}
	return nil
}

// place is where the credential of s was sealed.
func (s spooled) place() place {
	return connectionPlace(Connection{ID: s.commit.ConnectionID, Owner: s.commit.Owner}, s.version)
}
