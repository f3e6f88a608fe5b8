// Package chaos holds tests only: real server processes on one data directory, an
// independent OAuth server whose refresh tokens rotate and whose grants end when
// one is used twice, and faults. A ledger remembers what callers were told; after
// each fault it is compared with what is stored, audited, and still accepted by
// the provider.
//
// The cases whose names begin with "pg-" run replicas that share a PostgreSQL
// database and nothing else, behind a proxy. There the provider's own books are
// compared too: it has replaced as many refresh tokens as we have stored and lost, and
// got none twice but those that are lost.
//
// "go test" runs each case a few times. "make test-chaos" runs it fifty times
// (CHAOS=1; CHAOS_ROUNDS says another number), and the cases that need minutes or may
// mount a disk too (build tag chaos). A clock that is off cannot be given to a static Go program from outside:
// TestR14TheStoresClockDecides of the root package does that with an injected one.
// Each case prints
//
//	CHAOS <case> faults=<n> lost=<n> unexplained=<n>
//
// lost counts grants whose owner has to connect again, with the reason that the
// reply of the provider was lost; unexplained counts everything else that is not
// as a caller was told.
package chaos
