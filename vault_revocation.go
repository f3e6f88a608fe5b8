package tokenvault

import (
	"context"
	"errors"
	"fmt"

	"github.com/ai-token-vault/tokenvault/internal/record"
)

// revocationJob returns the work that ends c's grant at its provider, or nil if
// the provider has no way to.
func (v *Vault) revocationJob(ctx context.Context, c SealedConnection) (*Job, error) {
	p, err := v.catalog.Provider(c.ProviderID)
	if err != nil || len(c.Record.Blob) == 0 {
		return nil, nil //nolint:nilerr,nilnil // a provider that left the catalog has no way to end a grant
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
	job.Record, err = v.keys.seal(ctx, jobPlace(*job), marshalRevocation(cred, client))
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
	tagRevocationClient = 101
	tagRevocationSecret = 102
)

// marshalRevocation encodes what it takes to end a grant.
func marshalRevocation(cred Credential, client Client) []byte {
	w := record.WriterOf(cred.marshal())
	w.String(tagRevocationClient, client.ID)
	w.String(tagRevocationSecret, client.Secret.Reveal())
	return w.Bytes()
}

func unmarshalRevocation(b []byte, appID string) (Credential, Client, error) {
	cred, err := unmarshalCredential(b)
	if err != nil {
		return Credential{}, Client{}, err
	}
	client := Client{AppID: appID}
	err = record.Each(b, func(tag byte, value []byte) {
		switch tag {
		case tagRevocationClient:
			client.ID = string(value)
		case tagRevocationSecret:
			client.Secret = NewSecret(string(value))
		}
	})
	return cred, client, err
}

func jobPlace(job Job) place {
	return place{table: "job", owner: job.Owner, row: job.ID, field: "payload", version: 1}
}

func (v *Vault) doJob(ctx context.Context, job Job) error {
	if job.Kind != JobRevokeGrant {
		return fmt.Errorf("job of unknown kind: %w", ErrNotFound)
	}
	p, err := v.catalog.Provider(job.ProviderID)
	if err != nil {
		return err
	}
	revoker, ok := v.opts.Flows[p.AuthMethod].(Revoker)
	if !ok {
		return fmt.Errorf("provider %s cannot end grants: %w", p.ID, ErrNotFound)
	}
	plaintext, err := v.keys.open(ctx, jobPlace(job), job.Record, nil)
	if err != nil {
		return err
	}
	cred, client, err := unmarshalRevocation(plaintext, job.AppID)
	if err == nil && client.ID == "" {
		client, err = v.clientOf(ctx, job.Owner, job.AppID)
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	return v.revokeGrant(ctx, revoker, RefreshInput{Provider: p, Client: client, Credential: cred})
}
