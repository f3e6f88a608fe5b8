package httpapi

import (
	"context"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// jobRow is background work that is not done.
type jobRow struct {
	ID             string              `json:"id"`
	Kind           tokenvault.JobKind  `json:"kind"`
	State          tokenvault.JobState `json:"state" jsonschema:"ready, leased or dead"`
	ProviderID     string              `json:"providerId,omitempty"`
	CredentialID   string              `json:"credentialId,omitempty"`
	UserID         string              `json:"userId,omitempty"`
	OrganizationID string              `json:"organizationId,omitempty"`
	Attempts       int                 `json:"attempts"`
	Error          string              `json:"error,omitempty" jsonschema:"the code of the last failure"`
	CreatedAt      time.Time           `json:"createdAt"`
	DueAt          time.Time           `json:"dueAt" jsonschema:"dead: when it died"`
}

func jobRowOf(j tokenvault.JobRow) jobRow {
	return jobRow{
		ID: j.ID, Kind: j.Kind, State: j.State, ProviderID: j.ProviderID, CredentialID: j.ConnectionID,
		UserID: j.Owner.UserID, OrganizationID: j.Owner.OrganizationID,
		Attempts: j.Attempts, Error: j.Error, CreatedAt: j.CreatedAt.UTC(), DueAt: j.DueAt.UTC(),
	}
}

type jobsInput struct {
	listInput
	State string `query:"state"`
	Kind  string `query:"kind"`
}

func listJobs(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in jobsInput) (pageOutput[jobRow], error) {
	q := tokenvault.JobQuery{Page: in.page(), State: tokenvault.JobState(in.State), Kind: tokenvault.JobKind(in.Kind)}
	jobs, err := v.Jobs(ctx, actor, q)
	return pageOf(jobs, q.Limit, jobRowOf, func(j tokenvault.JobRow) string { return j.ID }), err
}

type jobInput struct {
	ID string `path:"id"`
}

func retryJob(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in jobInput) (successOutput, error) {
	err := v.RetryJob(ctx, actor, in.ID)
	return successOutput{err == nil}, err
}
