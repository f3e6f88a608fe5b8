package catalog_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/catalog"
)

// A program that needs GitHub alone takes its definition as a Go value.
func ExampleGitHub() {
	github := catalog.GitHub()
	github.OAuth2.DefaultScopes = []string{"read:user"}
	cat, err := tokenvault.NewCatalog(github)
	if err != nil {
		fmt.Println(err)
		return
	}
	for p := range cat.All() {
		fmt.Println(p.ID, p.OAuth2.AuthorizationURL)
	}
	// Output: github https://github.com/login/oauth/authorize
}

func TestGitHubIsTheOneOfTheCatalog(t *testing.T) {
	cat, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	want, err := cat.Provider("github")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, catalog.GitHub()); diff != "" {
		t.Errorf("GitHub (-catalog +value):\n%s", diff)
	}
	catalog.GitHub().OAuth2.DefaultScopes[0] = "changed"
	if diff := cmp.Diff(want, catalog.GitHub()); diff != "" {
		t.Errorf("a caller's change reached others:\n%s", diff)
	}
}
