package vaulttest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/vaulttest"
)

// countMails is the code to test: what a tool does once it has access.
func countMails(_ context.Context, folder string, access *tokenvault.Access) (string, error) {
	return fmt.Sprintf("3 mails in %s of %s", folder, access.Connection().Account.ID), nil
}

// The first call pauses; the user connects; the same call works.
func Example() {
	t := inExample() // in a test, this is its *testing.T
	defer t.end()
	ctx, vault := t.Context(), vaulttest.New(t, nil)

	tool := tokenvault.AuthenticatedTool(vault.Vault,
		tokenvault.ToolSpec{ProviderID: vaulttest.ProviderID, Scopes: []string{"mail.read"}, Release: tokenvault.ReleaseToken}, countMails)
	agent := vault.Agent("alice")

	_, err := tool(ctx, agent, "inbox")
	required, ok := errors.AsType[*tokenvault.AuthRequiredError](err)
	fmt.Println(ok)

	vault.Fulfil(t, required.Request, "alice@mail.example")
	fmt.Println(tool(ctx, agent, "inbox"))
	// Output:
	// true
	// 3 mails in inbox of alice@mail.example <nil>
}

// testingT is as much of a *testing.T as an example needs.
type testingT struct {
	testing.TB
	cleanups []func()
}

func inExample() *testingT { return &testingT{} }

func (*testingT) Helper()                  {}
func (*testingT) Context() context.Context { return context.Background() }
func (t *testingT) Cleanup(f func())       { t.cleanups = append(t.cleanups, f) }
func (*testingT) Fatal(args ...any)        { panic(fmt.Sprint(args...)) }

func (t *testingT) end() {
	for len(t.cleanups) > 0 {
		last := len(t.cleanups) - 1
		f := t.cleanups[last]
		t.cleanups = t.cleanups[:last]
		f()
	}
}
