package tokenvault

import (
	"context"
	"time"
)

// A DataKey seals the records of one key space. It is itself sealed by the root
// key.
type DataKey struct {
	Tenant    string
	Space     string
	Version   uint32 // from 1
	Wrapped   Sealed // empty once the key was destroyed
	CreatedAt time.Time
}

// DataKeyStore keeps wrapped data keys.
type DataKeyStore interface {
	// GetDataKey returns one version; 0 means the newest. A key that was destroyed is
	// returned without Wrapped, so that its version is never used again.
	GetDataKey(ctx context.Context, tenant, space string, version uint32) (DataKey, error)
	// CreateDataKey stores the key, or returns the one that is there already.
	CreateDataKey(ctx context.Context, key DataKey, event Event) (DataKey, error)
	// AnyDataKey returns some data key of any tenant, or [ErrNotFound] in a fresh
	// store. It tells at start-up whether the root key fits the data.
	AnyDataKey(ctx context.Context) (DataKey, error)
	// ListDataKeys returns up to limit keys of the tenant, empty for all tenants, in
	// the order of tenant, space and version, beginning behind the key after. Those
	// that were destroyed are left out.
	ListDataKeys(ctx context.Context, tenant string, after DataKey, limit int) ([]DataKey, error)
	// RewrapDataKey replaces key.Wrapped, which another root key sealed, by wrapped:
	// [ErrConflict] if it is not what is stored.
	RewrapDataKey(ctx context.Context, key DataKey, wrapped Sealed, event Event) error
	// DeleteDataKey deletes a version that is not the newest of its space and that no
	// record is sealed under: [ErrConflict] otherwise. One that is not there is no
	// error, and no event is written.
	DeleteDataKey(ctx context.Context, key DataKey, event Event) error
}

// A SealedTable names where sealed records are kept.
type SealedTable string

// The sealed tables.
const (
	SealedConnections SealedTable = "connection"
	SealedApps        SealedTable = "app"
	SealedAttempts    SealedTable = "attempt"
	SealedJobs        SealedTable = "job"
	SealedProviders   SealedTable = "provider"
	SealedWebhooks    SealedTable = "webhook"
)

// SealedTables returns all tables that hold sealed records.
func SealedTables() []SealedTable {
	return []SealedTable{SealedConnections, SealedApps, SealedAttempts, SealedJobs, SealedProviders, SealedWebhooks}
}

// SealedStore finds sealed records by what sealed them, to read them all or to
// seal them again.
type SealedStore interface {
	// ListSealed returns rows that hold a sealed record, in the order of ids.
	ListSealed(ctx context.Context, q SealedQuery) ([]SealedRow, error)
	// Reseal replaces the record, and nothing else, of each row that still holds the
	// one that it was read with, in one transaction. It returns how many those were:
	// the others moved on.
	Reseal(ctx context.Context, rows []Resealed) (int, error)
	// CountSealed returns how many records of the tenant each data key seals.
	CountSealed(ctx context.Context, tenant string) ([]SealedCount, error)
}

// A SealedQuery is the question of SealedStore.ListSealed.
type SealedQuery struct {
	Tenant   string
	Table    SealedTable
	KeySpace string // empty: any
	Page     Page
}

// A SealedRow is a sealed record with the row that it belongs to.
type SealedRow struct {
	Table   SealedTable
	Owner   Owner
	ID      string // of a provider: organization, slash and id
	Version int64  // that the record was sealed for; 1 where rows have none
	Record  SealedRecord
}

// A Resealed is a row and the record that takes the place of its own.
type Resealed struct {
	SealedRow
	New SealedRecord
}

// A SealedCount is how many records of a table one data key seals.
type SealedCount struct {
	Table      SealedTable
	KeySpace   string
	KeyVersion uint32
	Records    int
}
