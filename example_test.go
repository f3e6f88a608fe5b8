package tokenvault_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/seal/keyring"
	"github.com/ai-token-vault/tokenvault/store/memory"
)

// exampleVault is a vault with one provider, "mail", for which an OAuth app is
// registered. A program would use store/sqlite, catalog.Load and oauth2flow.
func exampleVault() *tokenvault.Vault {
	key, err := keyring.FromKey(tokenvault.NewSecret("5cD0qv1F0mJmJ5m0mGQWq3m0bX8h4mFqk3m7eS3c2mM="))
	must(err)
	cat, err := tokenvault.NewCatalog(mailProvider())
	must(err)
	flow := &scriptedFlow{completed: tokenvault.Completed{Credential: credential("at", "rt"), Account: tokenvault.Account{ID: "1"}}}
	v, err := tokenvault.New(memory.New(nil), key, cat, &tokenvault.Options{
		PublicURL: "https://vault.example",
		Flows:     map[tokenvault.AuthMethod]tokenvault.Flow{tokenvault.AuthOAuth2: flow},
	})
	must(err)
	_, err = v.SetApp(context.Background(), admin, tokenvault.AppInput{ProviderID: "mail", ClientID: "client"})
	must(err)
	return v
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// userConfirms does what pages and httpapi do when alice confirms and comes back
// from the provider.
func userConfirms(ctx context.Context, v *tokenvault.Vault, requestID string) error {
	redirect, err := v.StartConnect(ctx, aliceUser, tokenvault.StartConnect{AuthRequestID: requestID})
	if err != nil {
		return err
	}
	u, err := url.Parse(redirect.URL)
	if err != nil {
		return err
	}
	_, err = v.FinishConnect(ctx, aliceUser, tokenvault.Return{
		AppID: v.AppID("", "mail"), State: tokenvault.NewSecret(u.Query().Get("state")),
		Code: tokenvault.NewSecret("code"), Browser: redirect.CookieValue,
	})
	return err
}

// A tool call pauses when the owner has to act, and the same call resumes.
func ExampleAuthenticatedTool() {
	ctx := context.Background()
	vault := exampleVault()
	defer func() { _ = vault.Close(ctx) }()

	unread := tokenvault.AuthenticatedTool(vault, tokenvault.ToolSpec{
		ProviderID: "mail",
		Scopes:     []string{"mail.read"},
		Pause: func(ctx context.Context, actor tokenvault.Actor, required *tokenvault.AuthRequiredError) error {
			fmt.Println("paused:", required.Request.Message())
			go func() { must(userConfirms(ctx, vault, required.Request.ID)) }()
			return vault.WaitForOwner(ctx, actor, required)
		},
	}, func(ctx context.Context, folder string, access *tokenvault.Access) (string, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://api.mail.example/"+folder, http.NoBody)
		if err != nil {
			return "", err
		}
		if err := access.Authorize(req); err != nil { // refused for any host but the provider's
			return "", err
		}
		return "authorized " + req.Method + " " + req.URL.Path, nil
	})

	agent := tokenvault.Actor{Kind: tokenvault.ActorAgent, ID: "assistant", Owner: alice}
	out, err := unread(ctx, agent, "inbox")
	fmt.Println("resumed:", out, err)
	// Output:
	// paused: Connect Mail to continue
	// resumed: authorized GET /inbox <nil>
}
