// Package storetest proves that a [tokenvault.Store] keeps its promises. Every
// MUST of the contract is a named subtest, each on a store of its own.
//
// Where the contract leaves room, the suite decides, so that all stores behave
// alike:
//
//   - What ends at a time is over at that time, not after it.
//   - A settled request fails Settle and BeginAttempt with ErrConflict, also
//     after its time; an expired one with ErrExpired, also after a sweep.
//   - Joining a request, creating a data key that is there, and revoking what is
//     revoked change nothing: their events are not written either.
//   - A turn, or a job's turn, whose lease ran out is over only when the next one
//     began. Ending a turn twice is ErrFenced.
//   - An empty account id is an account like any other, and a revoked connection
//     still holds its account: it is healed, not stored twice.
//   - A permission is found by exactly the owner who granted it. An expired one
//     is replaced rather than widened. Permitting a revoked connection is
//     ErrConflict, so that no permission outlives a revocation.
//   - A page limit out of range stands for 1000.
//   - A rotation is refused when the key before is over, and when it has an end
//     from an earlier rotation. A key that goes on for its overlap can be revoked.
package storetest

import (
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// A testCase is one promise. It gets an empty store.
type testCase struct {
	name string
	run  func(t *testing.T, f *fixture)
}

// Run runs the suite. newStore returns an empty store that takes the time from
// clock, which stands still until the suite moves it, and closes the store in
// t.Cleanup; the suite may have closed it before.
func Run(t *testing.T, newStore func(t *testing.T, clock func() time.Time) tokenvault.Store) {
	for _, topic := range []struct {
		name  string
		cases []testCase
	}{
		{"connections", connectionCases()},
		{"find", findCases()},
		{"revoke", revokeCases()},
		{"sharing", sharingCases()},
		{"naming", namingCases()},
		{"refresh", refreshCases()},
		{"requests", requestCases()},
		{"notices", noticeCases()},
		{"settle", settleCases()},
		{"heal", healCases()},
		{"attempts", attemptCases()},
		{"permissions", permissionCases()},
		{"apps", appCases()},
		{"providers", providerCases()},
		{"keys", keyCases()},
		{"API keys", apiKeyCases()},
		{"data keys", dataKeyCases()},
		{"owners", ownerCases()},
		{"audit", auditCases()},
		{"chain", chainCases()},
		{"jobs", jobCases()},
		{"upkeep", upkeepCases()},
		{"webhooks", webhookCases()},
		{"deliveries", deliveryCases()},
		{"isolation", isolationCases()},
		{"concurrency", concurrencyCases()},
		{"lifecycle", lifecycleCases()},
	} {
		t.Run(topic.name, func(t *testing.T) {
			for _, c := range topic.cases {
				t.Run(c.name, func(t *testing.T) { c.run(t, newFixture(t, newStore)) })
			}
		})
	}
}
