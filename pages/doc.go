// Package pages serves the pages on which a person connects an account. They
// work without JavaScript, load nothing from elsewhere, and show a person only
// what is theirs.
//
// # The way through
//
//	GET  /connect/{id}          pending: what is asked, by whom, and two buttons
//	                            settled: how it ended
//	POST /connect/{id}/confirm  opens an attempt; a page leads to the provider
//	POST /connect/{id}/poll     asks whether the code was entered (device authorization)
//	POST /connect/{id}/permit   settles a request for which an account is connected
//	POST /connect/{id}/decline  settles the request as declined
//	GET  /connect/new           the same for a connect without an agent
//	POST /connect/new           opens the request and the attempt
//	GET  /connect/accounts      what a person connected, and whom they allowed to use it
//	POST /connect/accounts/…    rename, share, unshare, disconnect; withdraw a permission
//	GET  /connect/error         why a return from a provider led nowhere
//	GET  /assets/…              style, script and icon
//
// No GET changes anything: link scanners prefetch. The way back from the provider
// is the callback of package httpapi, which sends the browser to one of the GETs
// above; a code in its error parameter picks one of the fixed texts of this
// package.
//
// A visitor ([tokenvault.ActorVisitor]) sees what is asked, nothing personal, and
// can go on to the provider; the host proves who it was afterwards. Everybody else
// must be signed in, and the request must be theirs: a request
// of somebody else looks exactly like one that does not exist. A person who is
// not signed in is sent to sign in ([tokenvault.Challenger]) or told where to.
//
// # What keeps the pages safe
//
// A Content-Security-Policy without inline code, no framing, no caching, no
// referrer to others; POSTs from other sites are refused ([http.CrossOriginProtection]); all
// text that comes from providers, agents and people is escaped by html/template
// and isolated from the direction of the text around it. There is no
// Cross-Origin-Opener-Policy, since a window that was opened by an application
// must be able to tell it that it is done.
//
// # What the window that opened the page is told
//
// The page of a settled request posts {"type": "token-vault:auth-complete",
// "providerId", "authRequestId", "status"} or {"type": "token-vault:auth-error",
// …, "error": code} to its opener, for each of the vault's registered origins as the exact
// target origin, and to the BroadcastChannel "token-vault" of its own origin. Both
// are hints that save a moment: the truth is the status of the auth request, which
// the server tells.
package pages
