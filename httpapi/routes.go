package httpapi

import "github.com/ai-token-vault/tokenvault"

// browserRoutes is the API for browsers, below the mount. A user's session says
// who calls.
func browserRoutes() []route {
	return []route{
		raw[authorizeInput, none]("GET /oauth/authorize", "Go to the page on which the user confirms a connect. Stores nothing", authorize),
		raw[none, none]("GET /oauth/callback/{appId}", "Where a provider sends the browser back to", callback),
		raw[none, none]("GET /oauth/callback", "The same, for apps registered with the legacy callback", callback),

		handle("GET /providers", "List providers", listProviders),

		handle("GET /credentials", "List the user's connections and those shared with the user", listCredentials),
		handle("PATCH /credentials/{id}", "Give a connection a name of the user's own", renameCredential),
		handle("DELETE /credentials/{id}", "Revoke a connection, here at once and at the provider in the background", deleteCredential),
		handle("POST /credentials/{id}/share", "Give a connection of the user's to the user's organization", shareCredential),
		handle("DELETE /credentials/{id}/share", "Give a shared connection back to who shared it", unshareCredential),

		handle("GET /permissions", "List what the user permitted to agents", listOwnPermissions),
		handle("DELETE /permissions/{id}", "Withdraw a permission", deleteOwnPermission),

		handle("GET /oauth-config", "List registered OAuth apps, without secrets", listApps),
		handle("POST /oauth-config", "Register or replace an OAuth app", setApp),
		handle("GET /oauth-config/{providerId}", "Read an OAuth app, without its secret", getApp),
		handle("PUT /oauth-config/{providerId}", "Register or replace an OAuth app", putApp),
		handle("DELETE /oauth-config/{providerId}", "Delete an OAuth app", deleteApp),
		handle("POST /oauth-config/{providerId}/test", "Have the provider look at a registered OAuth app, with a code that was never issued", testApp),

		handle("POST /auth-requests", "Ask to connect an account of the user's own; connectUrl of the answer is where that is done", openAuthRequest),
		raw[authRequestInput, authRequestOutput]("GET /auth-requests/{id}", "Read an auth request; wait for it by long poll or server-sent events", showAuthRequest),
		handle("POST /auth-requests/{id}/decline", "Decline an auth request", declineAuthRequest),

		handle("POST /auth-requests/{id}/browser-login", "Start the browser in which the user signs in, or join the login under way", beginLogin),
		handle("GET /auth-requests/{id}/browser-login", "Read the login of an auth request that was begun last", latestLogin),

		handle("POST /browser-login/start", "Start a browser in which the user signs in, to connect an account of the user's own", startLogin),
		onNode[loginStatusInput](handle("GET /browser-login/status", "Whether the user is signed in. Other than by complete, nobody has to ask for the end", loginStatus)),
		onNode[completeLoginInput](handle("POST /browser-login/complete", "Have it looked at now whether the user is signed in", completeLogin)),
		onNode[idInput](handle("GET /browser-login/{id}", "Read a login", showLogin)),
		onNode[idInput](handle("POST /browser-login/{id}/finish", "Have it looked at now whether the user is signed in; the answer says how the login stands then", finishLogin)),
		handle("POST /browser-login/{id}/cancel", "End a login, and decline its auth request", cancelLogin),
		raw[idInput, ticketOutput]("POST /browser-login/{id}/ticket", "Get a ticket with which a page of the caller's origin opens the live view, once, within 30 seconds", viewTicket),
		raw[viewPath, none]("GET /browser-login/{id}/view", "The live view, as a WebSocket: see docs/live-view.md", liveView),
	}
}

// v1Routes is the API for agents and back ends. An API key says who calls, and must
// have the scope that a route needs.
func v1Routes() []route {
	return []route{
		handle("POST /v1/credentials/{providerId}/resolve", "Get access, or 428 with the auth request that the owner has to settle first", resolve).needs(tokenvault.ScopeResolve),
		raw[driveInput, none]("GET /v1/browser-sessions/{id}/cdp", "Drive the signed-in browser of a connection by the Chrome DevTools Protocol, as a WebSocket; id is a credentialId", drive).needs(tokenvault.ScopeResolve),
		raw[authRequestInput, authRequestOutput]("GET /v1/auth-requests/{id}", "Read an auth request; wait for it by long poll or server-sent events", showAuthRequest).needs(tokenvault.ScopeAuthRequests),

		handle("POST /v1/auth-requests/{id}/complete", "End a connect for the user in whose browser the handle arrived (back ends, mode verifier)", completeConnect).needs(tokenvault.ScopeAuthRequests),

		handle("POST /v1/sessions", "Open a session of a user for the pages of one origin, for at most 15 minutes (back ends)", createSession).needs(tokenvault.ScopeSessions),

		handle("GET /v1/connections", "List the owner's connections", listConnections).needs(tokenvault.ScopeConnections),
		handle("PATCH /v1/connections/{id}", "Give a connection a name of its owner's own (back ends)", renameConnection).needs(tokenvault.ScopeConnections),
		handle("DELETE /v1/connections/{id}", "Revoke a connection (back ends)", deleteConnection).needs(tokenvault.ScopeConnections),
		handle("POST /v1/connections/{id}/share", "Give a user's connection to the user's organization (back ends)", shareConnection).needs(tokenvault.ScopeConnections),
		handle("DELETE /v1/connections/{id}/share", "Give a shared connection back to who shared it (back ends)", unshareConnection).needs(tokenvault.ScopeConnections),
		handle("GET /v1/permissions", "List what the owner permitted to agents", listPermissions).needs(tokenvault.ScopePermissions),
		handle("DELETE /v1/permissions/{id}", "Withdraw a permission (back ends)", deletePermission).needs(tokenvault.ScopePermissions),
		handle("GET /v1/providers", "List providers", pageProviders).needs(tokenvault.ScopeProviders),
		handle("GET /v1/providers/{id}", "Read the whole definition of a provider (administrators)", getProvider).needs(tokenvault.ScopeProviders),
		handle("PUT /v1/providers/{id}", "Define or replace a provider of an organization or of the tenant (administrators)", putProvider).needs(tokenvault.ScopeProviders),
		handle("DELETE /v1/providers/{id}", "Delete a provider that was defined so, unless apps or connections use it (administrators)", deleteProvider).needs(tokenvault.ScopeProviders),

		handle("GET /v1/apps", "List OAuth apps, without secrets (administrators)", pageApps).needs(tokenvault.ScopeApps),
		handle("POST /v1/apps", "Register or replace an OAuth app (administrators)", setApp).needs(tokenvault.ScopeApps),
		handle("DELETE /v1/apps/{providerId}", "Delete an OAuth app (administrators)", deleteApp).needs(tokenvault.ScopeApps),
		handle("GET /v1/keys", "List API keys (administrators)", listKeys).needs(tokenvault.ScopeKeys),
		handle("POST /v1/keys", "Create an API key; its text is answered this once (administrators)", createKey).needs(tokenvault.ScopeKeys),
		handle("POST /v1/keys/{id}/rotate", "Replace an API key by one with the same rights; it ends after an overlap (administrators)", rotateKey).needs(tokenvault.ScopeKeys),
		handle("DELETE /v1/keys/{id}", "Revoke an API key (administrators)", deleteKey).needs(tokenvault.ScopeKeys),
		handle("GET /v1/jobs", "List background work that is not done (administrators)", listJobs).needs(tokenvault.ScopeJobs),
		handle("POST /v1/jobs/{id}/retry", "Have background work done again at once (administrators)", retryJob).needs(tokenvault.ScopeJobs),
		handle("GET /v1/webhooks", "List the endpoints that are told of changes (administrators)", listWebhooks).needs(tokenvault.ScopeWebhooks),
		handle("POST /v1/webhooks", "Register an endpoint; the secret that signs its messages is answered this once (administrators)", createWebhook).needs(tokenvault.ScopeWebhooks),
		handle("GET /v1/webhooks/{id}", "Read an endpoint, without its secret (administrators)", getWebhook).needs(tokenvault.ScopeWebhooks),
		handle("PUT /v1/webhooks/{id}", "Replace URL, types and state of an endpoint (administrators)", putWebhook).needs(tokenvault.ScopeWebhooks),
		handle("DELETE /v1/webhooks/{id}", "Delete an endpoint with its deliveries (administrators)", deleteWebhook).needs(tokenvault.ScopeWebhooks),
		handle("POST /v1/webhooks/{id}/rotate", "Give an endpoint a new secret; that of before signs too for a day (administrators)", rotateWebhook).needs(tokenvault.ScopeWebhooks),
		handle("POST /v1/webhooks/{id}/test", "Send an endpoint a message of type webhook.test (administrators)", testWebhook).needs(tokenvault.ScopeWebhooks),
		handle("GET /v1/webhooks/{id}/deliveries", "List what an endpoint was told, the newest first (administrators)", listDeliveries).needs(tokenvault.ScopeWebhooks),
		handle("POST /v1/webhooks/{id}/deliveries/{deliveryId}/redeliver", "Send a message again at once, with its id (administrators)", redeliver).needs(tokenvault.ScopeWebhooks),
		handle("DELETE /v1/owners", "Delete all that belongs to a user, a member or an organization (administrators)", deleteOwner).needs(tokenvault.ScopeOwners),
		raw[none, none]("GET /v1/openapi.json", "This description", serveOpenAPI),
		handle("GET /v1/audit", "List audit entries in the order they were written (administrators)", listAudit).needs(tokenvault.ScopeAudit),
	}
}
