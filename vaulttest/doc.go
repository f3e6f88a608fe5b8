// Package vaulttest gives your tests a whole vault: the real code, a store in
// memory, the HTTP API, and an OAuth provider that speaks HTTP on loopback, all in
// the test's process. Nothing has to be installed.
//
//	vault := vaulttest.New(t, nil)
//	agent := vault.Agent("alice")
//	vault.Connect(t, agent, "mail.read")    // what alice would do in her browser
//	access, err := vault.Resolve(ctx, agent, vaulttest.Ask("mail.read"))
//	vault.Advance(2 * time.Hour)            // her token expires
//	vault.Provider.EndGrants()              // she takes the access away at the provider
//
// The provider is strict: PKCE is required, refresh tokens rotate, and one that is
// used twice ends its grant.
package vaulttest
