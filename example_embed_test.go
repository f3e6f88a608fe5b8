package tokenvault_test

import (
	"context"
	"errors"
	"net/http"
	"os"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/catalog"
	"github.com/ai-token-vault/tokenvault/flow/oauth2flow"
	"github.com/ai-token-vault/tokenvault/httpapi"
	"github.com/ai-token-vault/tokenvault/pages"
	"github.com/ai-token-vault/tokenvault/seal/keyring"
	"github.com/ai-token-vault/tokenvault/signin"
	"github.com/ai-token-vault/tokenvault/store/sqlite"
)

type (
	query struct{ Organization string }
	repo  struct{ Name string }
)

func whoIsSignedIn(*http.Request) (tokenvault.Actor, error) {
	return tokenvault.Actor{}, tokenvault.ErrUnauthenticated
}

func fetchRepos(context.Context, *http.Client, query) ([]repo, error) { return nil, nil }

// A Go service embeds the vault: its own session proves the user, its own mux
// serves the pages, its tools run with access.
func Example_embed() {
	ctx, mux := context.Background(), http.NewServeMux()

	store, err1 := sqlite.Open(ctx, "vault.db", nil)
	key, err2 := keyring.FromKey(tokenvault.NewSecret(os.Getenv("TOKENVAULT_ROOT_KEY")))
	providers, err3 := catalog.Load()
	if err := errors.Join(err1, err2, err3); err != nil {
		panic(err)
	}
	vault, err := tokenvault.New(store, key, providers, &tokenvault.Options{
		PublicURL: "https://app.example.com",
		Flows:     map[tokenvault.AuthMethod]tokenvault.Flow{tokenvault.AuthOAuth2: oauth2flow.New(nil)},
	})
	if err != nil {
		panic(err)
	}
	go func() { _ = vault.Run(ctx) }() // background work, until ctx ends

	session := signin.Func(whoIsSignedIn) // your application's own session
	page := pages.NewHandler(vault, session, nil)
	mux.Handle("/api/token-vault/", httpapi.NewHandler(vault, session, nil))
	mux.Handle("/connect/", page)
	mux.Handle("/assets/", page)

	listRepos := tokenvault.AuthenticatedTool(vault,
		tokenvault.ToolSpec{ProviderID: "github", Scopes: []string{"repo"}, Pause: vault.WaitForOwner},
		func(ctx context.Context, in query, access *tokenvault.Access) ([]repo, error) {
			github := &http.Client{Transport: access.Transport(nil)} // adds the token, for GitHub's hosts only
			return fetchRepos(ctx, github, in)
		})
	_ = listRepos // func(ctx, actor, query) ([]repo, error), for your agent framework
}
