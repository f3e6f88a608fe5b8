package tokenvault

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/ai-token-vault/tokenvault/internal/envelope"
)

// An APIKeyInput describes a key to create.
type APIKeyInput struct {
	Name    string    // shown in lists; at most 255 bytes
	Kind    ActorKind // agent, backend or admin
	AgentID string    // names the caller in permissions and audit; default: Name
	// Owner is whom an agent key acts for. A backend or admin key may be confined
	// to an organization. The tenant is the vault's.
	Owner Owner
	TTL   time.Duration // 0: until revoked
}

// apiKeyPattern is the form of a key's text: tv_{id}_{secret}_{checksum}. The
// checksum lets scanners tell a key from look-alikes; it protects nothing.
var apiKeyPattern = regexp.MustCompile(`^tv_([a-z2-7]{26})_([a-z2-7]{52})_([0-9a-f]{8})$`)

const apiKeyLength = len("tv_") + 26 + len("_") + 52 + len("_") + 8

// CreateAPIKey creates a key and returns its text, which cannot be read again.
// Only an administrator may.
func (v *Vault) CreateAPIKey(ctx context.Context, actor Actor, in APIKeyInput) (APIKey, Secret, error) {
	if err := v.checkActor(actor); err != nil {
		return APIKey{}, Secret{}, err
	}
	if !actor.MayAdminister(v.opts.Tenant, in.Owner.OrganizationID) || actor.Kind != ActorAdmin {
		return APIKey{}, Secret{}, fmt.Errorf("only an administrator creates keys: %w", ErrDenied)
	}
	key, err := v.newAPIKey(in)
	if err != nil {
		return APIKey{}, Secret{}, err
	}
	secret := strings.ToLower(rand.Text() + rand.Text())
	if key.MAC, err = v.apiKeyMAC(ctx, key, secret); err != nil {
		return APIKey{}, Secret{}, err
	}
	event := v.event(EventAPIKeyCreated, actor, key.Owner)
	event.Detail = key.ID
	stored, err := v.store.CreateAPIKey(ctx, key, event)
	if err != nil {
		return APIKey{}, Secret{}, fmt.Errorf("create api key: %w", err)
	}
	return stored, NewSecret("tv_" + key.ID + "_" + secret + "_" + checksum(key.ID+secret)), nil
}

func (v *Vault) newAPIKey(in APIKeyInput) (APIKey, error) {
	in.Owner.Tenant = v.opts.Tenant
	if in.AgentID == "" {
		in.AgentID = in.Name
	}
	switch {
	case in.Name == "" || !validID(in.Name):
		return APIKey{}, invalid("name", "must be 1 to 255 bytes without control characters")
	case !validID(in.AgentID):
		return APIKey{}, invalid("agentId", "must be at most 255 bytes without control characters")
	case in.TTL < 0:
		return APIKey{}, invalid("ttl", "must not be negative")
	}
	switch in.Kind {
	case ActorAgent:
		if err := in.Owner.Validate(); err != nil {
			return APIKey{}, err
		}
	case ActorBackend, ActorAdmin:
		if in.Owner.UserID != "" {
			return APIKey{}, invalid("owner.userId", "must be empty for a backend or admin key")
		}
	case ActorUser, ActorSystem:
		return APIKey{}, invalid("kind", "must be agent, backend or admin")
	default:
		return APIKey{}, invalid("kind", "must be agent, backend or admin")
	}
	key := APIKey{ID: strings.ToLower(rand.Text()), Name: in.Name, Kind: in.Kind, AgentID: in.AgentID, Owner: in.Owner}
	if in.TTL > 0 {
		key.ExpiresAt = time.Now().Add(in.TTL).UTC().Truncate(time.Second)
	}
	return key, nil
}

func checksum(text string) string {
	return fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(text)))
}

// apiKeyMAC binds the secret to everything that decides what the key may do.
func (v *Vault) apiKeyMAC(ctx context.Context, key APIKey, secret string) ([]byte, error) {
	tenantKey, err := v.keys.newest(ctx, key.Owner.Tenant, tenantSpace)
	if err != nil {
		return nil, err
	}
	expires := ""
	if !key.ExpiresAt.IsZero() {
		expires = strconv.FormatInt(key.ExpiresAt.Unix(), 10)
	}
	mac := hmac.New(sha256.New, tenantKey.raw)
	mac.Write(envelope.AAD("api_key", key.ID, secret, string(key.Kind), key.AgentID,
		key.Owner.Tenant, key.Owner.OrganizationID, key.Owner.UserID, expires))
	return mac.Sum(nil), nil
}

// AuthenticateKey returns the actor that a key's text stands for, or
// [ErrUnauthenticated], which does not say what is wrong with it. A key that was
// found valid is believed for five seconds without asking the store; one that
// this process revokes is not.
func (v *Vault) AuthenticateKey(ctx context.Context, text Secret) (Actor, error) {
	if len(text.Reveal()) != apiKeyLength {
		return Actor{}, errNoKey()
	}
	hash, now := sha256.Sum256([]byte(text.Reveal())), time.Now()
	actor, seen, ok := v.apiKeys.get(hash, now)
	if ok {
		return actor, nil
	}
	key, err := v.verifyKey(ctx, text)
	if err != nil {
		return Actor{}, err
	}
	actor = Actor{Kind: key.Kind, ID: key.AgentID, Owner: key.Owner}
	v.apiKeys.put(hash, seen, cachedActor{actor: actor, keyID: key.ID, ends: key.ExpiresAt, until: now.Add(keyCacheTTL)})
	return actor, nil
}

func errNoKey() error { return fmt.Errorf("api key: %w", ErrUnauthenticated) }

// verifyKey returns the key in force that the text is of.
func (v *Vault) verifyKey(ctx context.Context, text Secret) (APIKey, error) {
	m := apiKeyPattern.FindStringSubmatch(text.Reveal())
	if m == nil || checksum(m[1]+m[2]) != m[3] {
		return APIKey{}, errNoKey()
	}
	key, err := v.store.GetAPIKey(ctx, m[1])
	missing := errors.Is(err, ErrNotFound)
	if err != nil && !missing {
		return APIKey{}, err
	}
	if missing { // do the same work for an id that does not exist
		key = APIKey{ID: m[1], Owner: Owner{Tenant: v.opts.Tenant}}
	}
	want, err := v.apiKeyMAC(ctx, key, m[2])
	if err != nil {
		return APIKey{}, err
	}
	over := !key.RevokedAt.IsZero() || !key.ExpiresAt.IsZero() && !time.Now().Before(key.ExpiresAt)
	if !hmac.Equal(want, key.MAC) || missing || over || key.Owner.Tenant != v.opts.Tenant {
		return APIKey{}, errNoKey()
	}
	return key, nil
}

// ActFor returns the back end's actor for one owner. It fails with [ErrDenied]
// for any other kind of actor and for an owner outside the key's tenant or
// organization.
func (a Actor) ActFor(owner Owner) (Actor, error) {
	if a.Kind != ActorBackend {
		return Actor{}, fmt.Errorf("only a back end names the owner it acts for: %w", ErrDenied)
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

// APIKeys returns the tenant's keys without their hashes' meaning: nothing that
// authenticates. Only an administrator may.
func (v *Vault) APIKeys(ctx context.Context, actor Actor, page Page) ([]APIKey, error) {
	if err := v.checkActor(actor); err != nil {
		return nil, err
	}
	if !actor.MayAdminister(v.opts.Tenant, "") {
		return nil, ErrDenied
	}
	return v.store.ListAPIKeys(ctx, v.opts.Tenant, page.limited())
}

// RevokeAPIKey ends a key at once.
func (v *Vault) RevokeAPIKey(ctx context.Context, actor Actor, id string) error {
	if err := v.checkActor(actor); err != nil {
		return err
	}
	if !actor.MayAdminister(v.opts.Tenant, "") {
		return ErrDenied
	}
	event := v.event(EventAPIKeyRevoked, actor, actor.Owner)
	event.Detail = id
	if err := v.store.RevokeAPIKey(ctx, v.opts.Tenant, id, event); err != nil {
		return fmt.Errorf("api key: %w", err)
	}
	v.apiKeys.drop(id)
	return nil
}
