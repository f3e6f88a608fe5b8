package tokenvault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ai-token-vault/tokenvault/internal/record"
)

// revocationJob returns the work that ends c's grant at its provider, or nil if
// the provider has no way to.
func (v *Vault) revocationJob(ctx context.Context, c SealedConnection) (*Job, error) {
	p, err := v.provider(ctx, c.Owner, c.ProviderID)
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrUnsealable) || len(c.Record.Blob) == 0 {
		return nil, nil //nolint:nilnil // a provider that is gone, or cannot be read, has no way to end a grant
	}
	if err != nil {
		return nil, err
	}
	if _, ok := v.opts.Flows[p.AuthMethod].(Revoker); !ok || p.OAuth2 == nil || p.OAuth2.RevocationURL == "" {
		return nil, nil //nolint:nilnil // no job is a valid answer
	}
	cred, err := v.openCredential(ctx, c, nil)
	if errors.Is(err, ErrUnsealable) {
		return nil, nil //nolint:nilnil // what cannot be read can still be revoked here
	}
	if err != nil {
		return nil, err
	}
	job := &Job{ID: newID("jb"), Kind: JobRevokeGrant, Owner: c.Owner, ProviderID: p.ID, AppID: c.AppID, ConnectionID: c.ID}
	client, err := v.ownClient(ctx, c)
	if err != nil {
		return nil, err
	}
	payload, err := v.marshalRevocation(revocation{cred, client, p})
	if err != nil {
		return nil, err
	}
	job.Record, err = v.keys.seal(ctx, jobPlace(*job), payload)
	return job, err
}

// ownClient returns the client of the organization's own app, which may be deleted
// before the work is done. The tenant's is looked up then: the zero Client.
func (v *Vault) ownClient(ctx context.Context, c SealedConnection) (Client, error) {
	app, err := v.store.GetApp(ctx, c.Owner.Tenant, c.AppID)
	if errors.Is(err, ErrNotFound) || err == nil && app.OrganizationID == "" {
		return Client{}, nil
	}
	if err != nil {
		return Client{}, err
	}
	client, err := v.openClient(ctx, app)
	if errors.Is(err, ErrUnsealable) {
		return Client{}, nil
	}
	return client, err
}

// Tags of a revocation's payload, beside those of the credential.
const (
	tagRevocationClient   = 101
	tagRevocationSecret   = 102
	tagRevocationProvider = 103
)

// A revocation is what it takes to end a grant. Client and provider are zero if
// they are looked up when the work is done.
type revocation struct {
	credential Credential
	client     Client
	provider   Provider
}

// marshalRevocation encodes r. A custom provider may be deleted before the work is
// done, and goes with it.
func (v *Vault) marshalRevocation(r revocation) ([]byte, error) {
	w := record.WriterOf(r.credential.marshal())
	w.String(tagRevocationClient, r.client.ID)
	w.String(tagRevocationSecret, r.client.Secret.Reveal())
	if _, err := v.catalog.Provider(r.provider.ID); errors.Is(err, ErrNotFound) {
		definition, err := json.Marshal(r.provider)
		if err != nil {
			return nil, err
		}
		w.String(tagRevocationProvider, string(definition))
	}
	return w.Bytes(), nil
}

func unmarshalRevocation(b []byte, appID string) (r revocation, err error) {
	if r.credential, err = unmarshalCredential(b); err != nil {
		return revocation{}, err
	}
	r.client.AppID = appID
	var definition []byte
	err = record.Each(b, func(tag byte, value []byte) {
		switch tag {
		case tagRevocationClient:
			r.client.ID = string(value)
		case tagRevocationSecret:
			r.client.Secret = NewSecret(string(value))
		case tagRevocationProvider:
			definition = value
		}
	})
	if err == nil && len(definition) > 0 {
		err = json.Unmarshal(definition, &r.provider)
	}
	if err != nil {
		return revocation{}, fmt.Errorf("revocation record: %w", ErrUnsealable)
	}
	return r, nil
}

func jobPlace(job Job) place {
	return place{table: "job", owner: job.Owner, row: job.ID, field: "payload", version: 1}
}

func (v *Vault) doJob(ctx context.Context, job Job) error {
	if job.Kind != JobRevokeGrant {
		return fmt.Errorf("job of unknown kind: %w", ErrNotFound)
	}
	plaintext, err := v.keys.open(ctx, jobPlace(job), job.Record, nil)
	if err != nil {
		return err
	}
	r, err := unmarshalRevocation(plaintext, job.AppID)
	if err == nil && r.provider.ID == "" {
		r.provider, err = v.provider(ctx, job.Owner, job.ProviderID)
	}
	if err == nil && r.client.ID == "" {
		r.client, err = v.clientOf(ctx, job.Owner, job.AppID)
	}
	if err != nil {
		return err
	}
	revoker, ok := v.opts.Flows[r.provider.AuthMethod].(Revoker)
	if !ok {
		return fmt.Errorf("provider %s cannot end grants: %w", r.provider.ID, ErrNotFound)
	}
	ctx, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	return v.revokeGrant(ctx, revoker, RefreshInput{Provider: r.provider, Client: r.client, Credential: r.credential})
}
