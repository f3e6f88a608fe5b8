package tokenvault

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"regexp"
	"strconv"
	"time"

	"github.com/ai-token-vault/tokenvault/internal/envelope"
)

// apiKeyPattern is the form of a key's text: tv_{id}_{secret}_{checksum}. The
// checksum lets scanners tell a key from look-alikes; it protects nothing.
var apiKeyPattern = regexp.MustCompile(`^tv_([a-z2-7]{26})_([a-z2-7]{52})_([0-9a-f]{8})$`)

const (
	apiKeyIDLength = 26
	apiKeyLength   = len("tv_") + apiKeyIDLength + len("_") + 52 + len("_") + 8
)

func checksum(text string) string {
	return fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(text)))
}

// apiKeyMAC binds the secret to everything that decides what the key may do.
func apiKeyMAC(tenantKey cachedKey, key APIKey, secret string) []byte {
	expires := ""
	if !key.ExpiresAt.IsZero() {
		expires = strconv.FormatInt(key.ExpiresAt.Unix(), 10)
	}
	bound := envelope.AAD("api_key with scopes", key.ID, secret, key.Name, string(key.Kind), key.AgentID,
		key.Owner.Tenant, key.Owner.OrganizationID, key.Owner.UserID, string(key.Scopes), expires)
	if key.Scopes == "" { // a row from before there were scopes
		bound = envelope.AAD("api_key", key.ID, secret, string(key.Kind), key.AgentID,
			key.Owner.Tenant, key.Owner.OrganizationID, key.Owner.UserID, expires)
	}
	mac := hmac.New(sha256.New, tenantKey.raw)
	mac.Write(bound)
	return mac.Sum(nil)
}

// AuthenticateKey returns the actor that a key's text stands for, or
// [ErrUnauthenticated], which does not say what is wrong with it. A key that was
// found valid is believed for five seconds without asking the store; one that
// this process revokes is not.
func (v *Vault) AuthenticateKey(ctx context.Context, text Secret) (Actor, error) {
	actor, _, err := v.RecheckKey(ctx, text)
	return actor, err
}

// RecheckKey is [Vault.AuthenticateKey], and tells when the key ends if nobody ends
// it before; zero if it has no end.
func (v *Vault) RecheckKey(ctx context.Context, text Secret) (Actor, time.Time, error) {
	if len(text.Reveal()) != apiKeyLength {
		return Actor{}, time.Time{}, errNoKey()
	}
	hash := sha256.Sum256([]byte(text.Reveal()))
	known, seen, ok := v.apiKeys.get(hash, time.Now())
	if ok {
		return known.actor, known.ends, nil
	}
	// Who asks after a key was ended here joins no look-up from before.
	result := v.keyLookUps.DoChan(fmt.Sprintf("%x %d", hash, seen), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keyLookUpTimeout)
		defer cancel()
		return v.lookUpKey(ctx, text, hash, seen)
	})
	select {
	case r := <-result:
		entry, _ := r.Val.(cachedActor)
		return entry.actor, entry.ends, r.Err
	case <-ctx.Done():
		return Actor{}, time.Time{}, fmt.Errorf("api key: %w", ctx.Err())
	}
}

// lookUpKey asks the store for a key, and remembers it.
func (v *Vault) lookUpKey(ctx context.Context, text Secret, hash [sha256.Size]byte, seen uint64) (cachedActor, error) {
	now := time.Now()
	found, err := v.verifyKey(ctx, text)
	if err != nil {
		if errors.Is(err, ErrUnauthenticated) {
			v.apiKeys.forget(hash)
		}
		return cachedActor{}, err
	}
	key := withScopes(found.APIKey)
	entry := cachedActor{
		actor: Actor{Kind: key.Kind, ID: key.AgentID, Owner: key.Owner, Scopes: key.Scopes},
		keyID: key.ID, until: now.Add(keyCacheTTL),
	}
	if ends := key.Ends(); !ends.IsZero() {
		entry.ends = now.Add(ends.Sub(found.Now)) // by the store's clock
	}
	v.apiKeys.put(hash, seen, entry)
	v.keyUses.add(key.ID, "")
	return entry, nil
}

// KnowsAPIKey reports whether the text is of a key that this process found valid
// lately. It authenticates nobody: it tells somebody who comes back from somebody
// who guesses, without asking the store.
func (v *Vault) KnowsAPIKey(text Secret) bool {
	return len(text.Reveal()) == apiKeyLength && v.apiKeys.knows(sha256.Sum256([]byte(text.Reveal())))
}

// APIKeyID returns the id that stands in a key's text; empty if the text has not
// the length of one. Whether there is such a key is not looked at.
func APIKeyID(text Secret) string {
	if len(text.Reveal()) != apiKeyLength {
		return ""
	}
	return text.Reveal()[len("tv_") : len("tv_")+apiKeyIDLength]
}

func errNoKey() error { return fmt.Errorf("api key: %w", ErrUnauthenticated) }

// verifyKey returns the key in force that the text is of.
func (v *Vault) verifyKey(ctx context.Context, text Secret) (FoundAPIKey, error) {
	m := apiKeyPattern.FindStringSubmatch(text.Reveal())
	if m == nil || checksum(m[1]+m[2]) != m[3] {
		return FoundAPIKey{}, errNoKey()
	}
	key, err := v.store.GetAPIKey(ctx, m[1])
	missing := errors.Is(err, ErrNotFound)
	if err != nil && !missing {
		return FoundAPIKey{}, err
	}
	if missing || key.Owner.Tenant != v.opts.Tenant { // do the same work for an id that does not exist
		missing = true
		key.APIKey = APIKey{ID: m[1], Owner: Owner{Tenant: v.opts.Tenant}, MACVersion: 1}
	}
	tenantKey, err := v.keys.get(ctx, keyRef{v.opts.Tenant, tenantSpace, key.MACVersion}, nil)
	if errors.Is(err, ErrNotFound) { // nothing was ever keyed with that version
		return FoundAPIKey{}, errNoKey()
	}
	if err != nil {
		return FoundAPIKey{}, err
	}
	want := apiKeyMAC(tenantKey, key.APIKey, m[2])
	if !hmac.Equal(want, key.MAC) || missing || key.State(key.Now) != KeyActive {
		return FoundAPIKey{}, errNoKey()
	}
	return key, nil
}

// ActFor returns the back end's actor for one owner. It fails with [ErrDenied]
// for any other kind of actor, for a key without the scope act_for, and for an
// owner outside the key's tenant or organization.
func (a Actor) ActFor(owner Owner) (Actor, error) {
	if a.Kind != ActorBackend {
		return Actor{}, fmt.Errorf("only a back end names the owner it acts for: %w", ErrDenied)
	}
	if err := a.need(ScopeActFor); err != nil {
		return Actor{}, err
	}
	owner.Tenant = a.Owner.Tenant
	if a.Owner.OrganizationID != "" && owner.OrganizationID != a.Owner.OrganizationID {
		return Actor{}, fmt.Errorf("the key is confined to another organization: %w", ErrDenied)
	}
	if err := owner.Validate(); err != nil {
		return Actor{}, err
	}
	a.Owner = owner
	return a, nil
}
