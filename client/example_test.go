package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/client"
)

// An agent's tool call pauses, since the user has to connect an account first.
// The same call goes on once that is done.
func Example() {
	ctx := context.Background()
	vault := startVault() // with one provider, "mail"
	defer vault.stop()
	server := httptest.NewServer(vault)
	defer server.Close()

	agent, err := client.New(server.URL, vault.agentKey, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	token, err := agent.ResolveWait(ctx, client.ResolveRequest{
		ProviderID: "mail", Scopes: []string{"mail.read"}, Release: tokenvault.ReleaseToken,
	}, func(req tokenvault.AuthRequest) {
		fmt.Println("paused:", req.Message())     // show it to the user, with req.ConnectURL as link
		go vault.connect("alice", req.ConnectURL) // what the user does there
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("resumed:", readInbox(token))
	// Output:
	// paused: Connect Mail to continue
	// resumed: 3 new messages
}

// An agent that can be suspended keeps the id of the request, and comes back
// later, in another process if need be.
func ExampleClient_Wait() {
	ctx := context.Background()
	vault := startVault()
	defer vault.stop()
	server := httptest.NewServer(vault)
	defer server.Close()

	agent, err := client.New(server.URL, vault.agentKey, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	ask := client.ResolveRequest{ProviderID: "mail", Scopes: []string{"mail.read"}, Release: tokenvault.ReleaseToken}
	_, err = agent.Resolve(ctx, ask)
	required, ok := errors.AsType[*tokenvault.AuthRequiredError](err)
	if !ok {
		fmt.Println(err)
		return
	}
	fmt.Println(required.Request.Status, required.Request.Reason)

	vault.connect("alice", required.Request.ConnectURL) // what the user does, hours later
	settled, err := agent.Wait(ctx, required.Request.ID)
	fmt.Println(settled.Status, err)
	token, err := agent.Resolve(ctx, ask)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(readInbox(token))
	// Output:
	// pending missing
	// connected <nil>
	// 3 new messages
}
