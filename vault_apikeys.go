package tokenvault

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"
)

// An APIKeyInput describes a key to create.
type APIKeyInput struct {
	Name    string    // shown in lists; at most 255 bytes
	Kind    ActorKind // agent, backend or admin
	AgentID string    // names the caller in permissions and audit; default: Name
	// Owner is whom an agent key acts for. A backend or admin key may be confined
	// to an organization. The tenant is the vault's.
	Owner Owner
	// Scopes is what the key opens, of what its kind can have: see [ScopesOf], which
	// is the default.
	Scopes []KeyScope
	TTL    time.Duration // 0: until revoked
}

// CreateAPIKey creates a key and returns its text, which cannot be read again.
// Only an administrator may, for keys within the organization that it is confined
// to. One that came with a key itself creates admin keys only with scopes that it
// has.
func (v *Vault) CreateAPIKey(ctx context.Context, actor Actor, in APIKeyInput) (APIKey, Secret, error) {
	if err := v.mayManageKeys(actor); err != nil {
		return APIKey{}, Secret{}, err
	}
	key, err := v.newAPIKey(in)
	if err != nil {
		return APIKey{}, Secret{}, err
	}
	if err := v.mayGrant(actor, key); err != nil {
		return APIKey{}, Secret{}, err
	}
	text, err := v.drawSecret(ctx, &key)
	if err != nil {
		return APIKey{}, Secret{}, err
	}
	stored, err := v.store.CreateAPIKey(ctx, key, v.keyEvent(EventAPIKeyCreated, actor, key))
	if err != nil {
		return APIKey{}, Secret{}, fmt.Errorf("create api key: %w", err)
	}
	return stored, text, nil
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
		if !validID(in.Owner.OrganizationID) {
			return APIKey{}, invalid("owner.organizationId", "must be at most 255 bytes without control characters")
		}
	case ActorUser, ActorVisitor, ActorSystem:
		return APIKey{}, invalid("kind", "must be agent, backend or admin")
	default:
		return APIKey{}, invalid("kind", "must be agent, backend or admin")
	}
	possible := ScopesOf(in.Kind)
	scopes := NewKeyScopes(in.Scopes...)
	if scopes == "" {
		scopes = possible
	}
	if slices.Contains(in.Scopes, "") || !possible.Covers(scopes) {
		return APIKey{}, invalid("scopes", fmt.Sprintf("of a key of kind %s must be among: %s", in.Kind, possible))
	}
	key := APIKey{Name: in.Name, Kind: in.Kind, AgentID: in.AgentID, Owner: in.Owner, Scopes: scopes}
	if in.TTL > 0 {
		key.ExpiresAt = time.Now().Add(in.TTL).UTC().Truncate(time.Second)
	}
	return key, nil
}

// mayGrant checks that the actor may hand out what the key may do. Creating and
// rotating both return a key's text.
func (v *Vault) mayGrant(actor Actor, key APIKey) error {
	if !actor.MayAdminister(v.opts.Tenant, key.Owner.OrganizationID) {
		return fmt.Errorf("an administrator creates keys within its organization only: %w", ErrDenied)
	}
	if key.Kind != ActorAdmin {
		return nil
	}
	for _, scope := range key.Scopes.List() {
		if err := actor.need(scope); err != nil {
			return err
		}
	}
	return nil
}

// drawSecret gives the key an id and a secret, and returns its text.
func (v *Vault) drawSecret(ctx context.Context, key *APIKey) (Secret, error) {
	tenantKey, err := v.keys.newest(ctx, v.opts.Tenant, tenantSpace)
	if err != nil {
		return Secret{}, err
	}
	secret := strings.ToLower(rand.Text() + rand.Text())
	key.ID, key.MACVersion = strings.ToLower(rand.Text()), tenantKey.version
	key.MAC = apiKeyMAC(tenantKey, *key, secret)
	return NewSecret("tv_" + key.ID + "_" + secret + "_" + checksum(key.ID+secret)), nil
}

func (v *Vault) keyEvent(kind EventKind, actor Actor, key APIKey) Event {
	event := v.event(kind, actor, key.Owner)
	event.Detail = key.ID
	return event
}

// APIKeys returns the tenant's keys, or those within the organization that the
// administrator is confined to; nothing in them authenticates. Only an
// administrator may.
func (v *Vault) APIKeys(ctx context.Context, actor Actor, page Page) ([]APIKey, error) {
	if err := v.mayManageKeys(actor); err != nil {
		return nil, err
	}
	keys, err := v.store.ListAPIKeys(ctx, v.opts.Tenant, actor.Owner.OrganizationID, page.limited())
	for i := range keys {
		keys[i] = withScopes(keys[i])
	}
	return keys, err
}

func (v *Vault) mayManageKeys(actor Actor) error {
	if err := v.checkActor(actor); err != nil {
		return err
	}
	if actor.Kind != ActorAdmin || !actor.MayAdminister(v.opts.Tenant, actor.Owner.OrganizationID) {
		return fmt.Errorf("only an administrator manages keys: %w", ErrDenied)
	}
	return actor.need(ScopeKeys)
}

// withScopes returns the key with the scopes that it has.
func withScopes(key APIKey) APIKey {
	if key.Scopes == "" {
		key.Scopes = ScopesOf(key.Kind)
	}
	return key
}

// apiKeyOf returns a key that the administrator manages.
func (v *Vault) apiKeyOf(ctx context.Context, actor Actor, id string) (APIKey, error) {
	if err := v.mayManageKeys(actor); err != nil {
		return APIKey{}, err
	}
	found, err := v.store.GetAPIKey(ctx, id)
	if err == nil && !actor.MayAdminister(found.Owner.Tenant, found.Owner.OrganizationID) {
		err = ErrNotFound
	}
	if err != nil {
		return APIKey{}, fmt.Errorf("api key: %w", err)
	}
	return withScopes(found.APIKey), nil
}

// maxOverlap is how long a key may go on beside the one that replaces it.
const maxOverlap = 90 * 24 * time.Hour

// RotateAPIKey creates a key with the rights of an earlier one, valid for as long
// again as that one was, and has that one end after the overlap, of at most 90
// days; 0 ends it at once. Who may create the key may rotate it. It fails with
// [ErrConflict] if the key ended, or was rotated before.
func (v *Vault) RotateAPIKey(ctx context.Context, actor Actor, id string, overlap time.Duration) (APIKey, Secret, error) {
	if overlap < 0 || overlap > maxOverlap {
		return APIKey{}, Secret{}, invalid("overlap", "must be from 0 to 90 days")
	}
	old, err := v.apiKeyOf(ctx, actor, id)
	if err != nil {
		return APIKey{}, Secret{}, err
	}
	if err := v.mayGrant(actor, old); err != nil {
		return APIKey{}, Secret{}, err
	}
	next := APIKey{Name: old.Name, Kind: old.Kind, AgentID: old.AgentID, Owner: old.Owner, Scopes: old.Scopes}
	if !old.ExpiresAt.IsZero() {
		next.ExpiresAt = time.Now().Add(old.ExpiresAt.Sub(old.CreatedAt)).UTC().Truncate(time.Second)
	}
	text, err := v.drawSecret(ctx, &next)
	if err != nil {
		return APIKey{}, Secret{}, err
	}
	stored, err := v.store.RotateAPIKey(ctx, APIKeyRotation{
		ID: id, Next: next, Overlap: overlap,
		Events: []Event{v.keyEvent(EventAPIKeyRotated, actor, old), v.keyEvent(EventAPIKeyCreated, actor, next)},
	})
	if err != nil {
		return APIKey{}, Secret{}, fmt.Errorf("rotate api key: %w", err)
	}
	v.apiKeys.drop(id) // it has an end now
	return stored, text, nil
}

// RevokeAPIKey ends a key, in this process at once and in every other within five
// seconds. Only an administrator may, within its organization.
func (v *Vault) RevokeAPIKey(ctx context.Context, actor Actor, id string) error {
	key, err := v.apiKeyOf(ctx, actor, id)
	if err != nil {
		return err
	}
	if err := v.store.RevokeAPIKey(ctx, v.opts.Tenant, id, v.keyEvent(EventAPIKeyRevoked, actor, key)); err != nil {
		return fmt.Errorf("api key: %w", err)
	}
	v.apiKeys.drop(id)
	return nil
}
