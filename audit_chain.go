package tokenvault

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ai-token-vault/tokenvault/internal/envelope"
)

// ChainHash returns the hash of the entry, which every later entry of its chain
// depends on. previous is the hash of the entry one position before, empty for the
// first. It is the SHA-256 over "tv1" and these texts, each after its length in
// four bytes, big-endian: "audit_entry"; id, time in microseconds since 1970,
// kind, tenant; kind and id of the actor; tenant, organization and user of the
// owner; the user acted for; provider, connection, auth request, run, thread,
// detail; writer, position; previous.
func (e Event) ChainHash(previous string) string {
	sum := sha256.Sum256(envelope.AAD("audit_entry",
		e.ID, strconv.FormatInt(e.At.UnixMicro(), 10), string(e.Kind), e.Tenant,
		string(e.ActorKind), e.ActorID, e.Owner.Tenant, e.Owner.OrganizationID, e.Owner.UserID, e.ForUserID,
		e.ProviderID, e.ConnectionID, e.AuthRequestID, e.RunID, e.ThreadID, e.Detail,
		e.Writer, strconv.FormatInt(e.Position, 10), previous))
	return hex.EncodeToString(sum[:])
}

// An AuditHead says how far a chain had come, under a signature: nobody without
// the tenant's data key can change what was written before it unnoticed.
type AuditHead struct {
	Tenant     string    `json:"tenant"`
	Writer     string    `json:"writer"`
	Position   int64     `json:"position"`
	Hash       string    `json:"hash"`
	EventID    string    `json:"eventId"`
	At         time.Time `json:"at"`         // when the entry was written
	KeyVersion uint32    `json:"keyVersion"` // of the tenant's data key
	MAC        []byte    `json:"mac"`        // HMAC-SHA-256
	// Cut is a second signature, for a head up to which entries were dropped: what
	// is missing before it was not taken away by somebody else.
	Cut []byte `json:"cut,omitempty"`
}

// signed returns what a signature of the head is over. The purpose keeps head and
// cut apart, and both from what else the key signs.
func (h AuditHead) signed(purpose string) []byte {
	return envelope.AAD(purpose, h.Tenant, h.Writer, strconv.FormatInt(h.Position, 10), h.Hash, h.EventID,
		strconv.FormatInt(h.At.UnixMicro(), 10), strconv.FormatUint(uint64(h.KeyVersion), 10))
}

// An AuditReport is what a verification of the audit log found.
type AuditReport struct {
	Entries   int64 // entries whose place in their chain was checked
	Unchained int64 // entries from before there were chains: nothing proves them
	Heads     int64 // signed heads that were compared
	Unsigned  int64 // entries after the newest head of their chain
	Pruned    int64 // entries that retention dropped
	// Keyed is true if the signatures were checked too, and not only that heads and
	// entries agree.
	Keyed bool
	// Broken is the first thing that is wrong; nil if nothing is.
	Broken *AuditBreak
}

// An AuditProblem says what is wrong with an audit log.
type AuditProblem string

// The problems.
const (
	// AuditAltered: the entry, or the one before it, is not as it was written.
	AuditAltered AuditProblem = "altered"
	// AuditMissing: the entry of this position is not there.
	AuditMissing AuditProblem = "missing"
	// AuditReordered: the entry of this position stands further behind.
	AuditReordered AuditProblem = "reordered"
	// AuditInserted: the entry has no place in its chain, or one that is taken.
	AuditInserted AuditProblem = "inserted"
	// AuditTruncated: the chain ends before a signed head.
	AuditTruncated AuditProblem = "truncated"
	// AuditRewritten: the chain is whole, and not the one that was signed.
	AuditRewritten AuditProblem = "rewritten"
	// AuditHeadForged: the head's signature is not by the tenant's data key.
	AuditHeadForged AuditProblem = "head forged"
)

// An AuditBreak names the first entry that is not as it was written.
type AuditBreak struct {
	Problem  AuditProblem
	Writer   string
	Position int64 // the first position in question; 0: none
	// EventID is the entry at which it shows: the next one that is there, if one is
	// missing; the head's, if a head is in question.
	EventID string
}

// String says it in one line.
func (b AuditBreak) String() string {
	at := fmt.Sprintf("position %d of writer %+q", b.Position, b.Writer)
	id := strings.Trim(strconv.QuoteToASCII(b.EventID), `"`) // of an export it may be anything
	switch b.Problem {
	case AuditAltered:
		return fmt.Sprintf("entry %s, %s: it or the entry before it was altered", id, at)
	case AuditMissing:
		return fmt.Sprintf("entry %s: before it, %s is missing", id, at)
	case AuditReordered:
		return fmt.Sprintf("entry %s: it stands before %s: entries were reordered", id, at)
	case AuditInserted:
		return fmt.Sprintf("entry %s, %s: it was inserted", id, at)
	case AuditTruncated:
		return fmt.Sprintf("%s and what followed are missing: a signed head names %s as written", at, id)
	case AuditRewritten:
		return fmt.Sprintf("entry %s, %s: the chain up to it is not the one that was signed", id, at)
	case AuditHeadForged:
		return fmt.Sprintf("the head of entry %s, %s: its signature is not by this vault's key", id, at)
	}
	return string(b.Problem)
}
