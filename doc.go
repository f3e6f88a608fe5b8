// Package tokenvault is the credential vault for AI agents.
//
// An agent's tool call needs a user's account at an outside service. If the
// vault holds a valid credential, the call goes on. If not, the call pauses: the
// vault opens a durable auth request, the user connects on the service's own
// page, and the call resumes. Credentials never pass through chat, model
// context, logs or the user's browser.
//
// # Words
//
// A provider is an outside service reached by one auth method, as data. An app
// is our OAuth client registration there. A tenant is an isolation boundary: one
// product that uses the vault. An [Owner] is a user in an optional organization,
// or the organization itself. A [Connection] is a durable link from an owner to
// one account at a provider; its credential exists in memory only and is sealed
// everywhere else. An [AuthRequest] asks an owner to connect, once; an attempt
// is one short-lived try at it. A [Permission] is what one agent may do with one
// connection; without one it may do nothing. An [Actor] is any authenticated
// caller. An [Event] is an audit entry.
//
// # Use
//
// [New] makes a [Vault] from a [Store], a [Sealer] and a [Catalog].
// [Vault.Resolve] returns an [Access] or an [*AuthRequiredError]; [Vault.Wait]
// waits until the request is settled. [AuthenticatedTool] does both around a
// tool. The HTTP handlers are in httpapi and pages.
//
// # Promises
//
//  1. A credential is released only to a caller that is allowed to have it; who
//     consents is who asked, on every path.
//  2. No grant is lost through concurrency, restarts, deploys, database outages,
//     slow or failing providers, or callers that give up. If the answer of a
//     provider that has replaced a refresh token never arrives, because the process
//     was killed in that moment or the connection broke, and the provider then
//     refuses the old one, the owner is asked to connect again, with the reason
//     lost_response.
//  3. A secret is never stored, logged, traced, rendered or returned in clear,
//     except as the answer to an authorized request.
//  4. A warm resolve costs one database round trip and one AES open.
//  5. "Connected" is true: a dead credential shows as needs_reauth with its
//     reason, and reconnecting heals the same connection in place.
//
// # Compatibility
//
// Until version 1.0 a minor version may change the Go API; the changelog says
// how to follow. Stored data and the HTTP API stay readable from version 0.1 on.
package tokenvault
