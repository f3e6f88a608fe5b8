package httpapi

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// appRow is an OAuth app. Its secret cannot be read.
type appRow struct {
	ID             string    `json:"id"`
	ProviderID     string    `json:"providerId"`
	OrganizationID string    `json:"organizationId,omitempty"`
	ClientID       string    `json:"clientId"`
	HasSecret      bool      `json:"hasSecret"`
	Scopes         []string  `json:"scopes"`
	LegacyCallback bool      `json:"legacyCallback"`
	RedirectURL    string    `json:"redirectUrl"`
	CreatedAt      time.Time `json:"createdAt"`
	UpdatedAt      time.Time `json:"updatedAt"`
}

func appRowOf(v *tokenvault.Vault, app tokenvault.App) appRow {
	return appRow{
		ID: app.ID, ProviderID: app.ProviderID, OrganizationID: app.OrganizationID, ClientID: app.ClientID, HasSecret: app.HasSecret,
		Scopes: append([]string{}, app.Scopes...), LegacyCallback: app.LegacyCallback, RedirectURL: v.CallbackURL(app),
		CreatedAt: app.CreatedAt.UTC(), UpdatedAt: app.UpdatedAt.UTC(),
	}
}

// organizationOf is whose apps an actor means: its own organization's, or the
// tenant's defaults if an administrator of the tenant names none.
func organizationOf(actor tokenvault.Actor, named string) string {
	if named == "" {
		return actor.Owner.OrganizationID
	}
	return named
}

// scopeList is scopes as a list, or as text separated by spaces or commas.
type scopeList []string

// UnmarshalJSON reads both forms.
func (s *scopeList) UnmarshalJSON(b []byte) error {
	var text string
	if json.Unmarshal(b, &text) == nil {
		*s = strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' })
		return nil
	}
	return json.Unmarshal(b, (*[]string)(s))
}

type appInput struct {
	ProviderID     string            `json:"providerId"`
	OrganizationID string            `json:"organizationId,omitempty" jsonschema:"default: the caller's"`
	ClientID       string            `json:"clientId"`
	ClientSecret   tokenvault.Secret `json:"clientSecret,omitzero" jsonschema:"absent: the stored one is kept"`
	Scopes         scopeList         `json:"scopes,omitempty" jsonschema:"requested beside what agents ask for"`
	LegacyCallback bool              `json:"legacyCallback,omitempty"`
}

func setApp(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in appInput) (appRow, error) {
	app, err := v.SetApp(ctx, actor, tokenvault.AppInput{
		ProviderID: in.ProviderID, OrganizationID: organizationOf(actor, in.OrganizationID), ClientID: in.ClientID,
		ClientSecret: in.ClientSecret, Scopes: in.Scopes, LegacyCallback: in.LegacyCallback,
	})
	return appRowOf(v, app), err
}

type appPutInput struct {
	ProviderID     string            `json:"-" path:"providerId"`
	OrganizationID string            `json:"organizationId,omitempty" jsonschema:"default: the caller's"`
	ClientID       string            `json:"clientId"`
	ClientSecret   tokenvault.Secret `json:"clientSecret,omitzero" jsonschema:"absent: the stored one is kept"`
	Scopes         scopeList         `json:"scopes,omitempty" jsonschema:"requested beside what agents ask for"`
	LegacyCallback bool              `json:"legacyCallback,omitempty"`
}

func putApp(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in appPutInput) (appRow, error) {
	return setApp(ctx, v, actor, appInput(in))
}

type organizationInput struct {
	OrganizationID string `query:"organizationId"`
}

type appList []appRow

func listApps(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in organizationInput) (appList, error) {
	apps, err := v.Apps(ctx, actor, organizationOf(actor, in.OrganizationID))
	rows := make(appList, 0, len(apps))
	for _, app := range apps {
		rows = append(rows, appRowOf(v, app))
	}
	return rows, err
}

func pageApps(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in organizationInput) (pageOutput[appRow], error) {
	rows, err := listApps(ctx, v, actor, in)
	return pageOutput[appRow]{Items: rows}, err
}

type appRefInput struct {
	ProviderID     string `path:"providerId"`
	OrganizationID string `query:"organizationId"`
}

func getApp(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in appRefInput) (appRow, error) {
	rows, err := listApps(ctx, v, actor, organizationInput{in.OrganizationID})
	if err != nil {
		return appRow{}, err
	}
	for _, row := range rows {
		if row.ProviderID == in.ProviderID {
			return row, nil
		}
	}
	return appRow{}, tokenvault.ErrNotFound
}

func deleteApp(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in appRefInput) (successOutput, error) {
	err := v.DeleteApp(ctx, actor, organizationOf(actor, in.OrganizationID), in.ProviderID)
	return successOutput{err == nil}, err
}

type testAppOutput struct {
	Verdict     tokenvault.RegistrationVerdict `json:"verdict" jsonschema:"accepted, refused, redirect, unreachable, unclear or not_to_trust"`
	RedirectURL string                         `json:"redirectUrl" jsonschema:"to register at the provider"`
}

// testApp has the provider look at the registration as it stands.
func testApp(ctx context.Context, v *tokenvault.Vault, actor tokenvault.Actor, in appRefInput) (testAppOutput, error) {
	found, err := v.CheckApp(ctx, actor, organizationOf(actor, in.OrganizationID), in.ProviderID)
	if err != nil {
		return testAppOutput{}, err
	}
	return testAppOutput{found.Verdict(), found.CallbackURL}, nil
}
