// Package catalog holds the definitions of the providers that ship with
// tokenvault, and loads the ones that a deployment adds.
//
// A definition is one YAML file. Its keys are the yaml names of
// [tokenvault.Provider]; the files in the providers folder are examples to copy.
// The smallest one is
//
//	id: acme
//	name: Acme
//	authMethod: oauth2
//	hosts: [api.acme.example]
//	oauth2:
//	  authorizationUrl: https://acme.example/authorize
//	  tokenUrl: https://acme.example/token
//
// With grant client_credentials there is no authorizationUrl: the app itself is the
// account.
//
// A provider whose credentials people enter has authMethod api_key and a section
// apiKey instead of oauth2 ([tokenvault.KeyAuth]):
//
//	hosts: ["{subdomain}.acme.example"]
//	apiKey:
//	  fields:
//	    - {name: subdomain, label: Subdomain}
//	    - {name: apiKey, label: API key, secret: true}
//	  inject:
//	    - {header: Authorization, value: "Bearer {apiKey}"}
//	  probe:
//	    url: https://{subdomain}.acme.example/v1/me
//
// A provider at which people sign in without OAuth, in a browser that the vault
// starts, has authMethod browser_login and a section login ([tokenvault.Login]):
//
//	hosts: [www.acme.example]
//	login:
//	  url: https://www.acme.example/login
//	  domains: [acme.example]
//	  signs:
//	    - {strategy: cookie, pattern: sid}
//	    - {strategy: url_pattern, pattern: 'https://www\.acme\.example/home'}
//	  unless: ['https://www\.acme\.example/login/code.*']
//	  probe:
//	    url: https://www.acme.example/api/me
//	    accountId: [user.id]
//
// All signs have to be there at once, and no tab may be at an address of unless:
// list there what belongs to a second factor. With usageMode session the browser
// stays, and a tool drives it.
//
// service defaults to the id, usageMode to token and verified to unverified. A
// time.Duration is text such as "12h".
//
// # Sources
//
// A quirk is a setting that departs from the plain protocol. Each one needs an
// entry in sources whose fact starts with the name of the setting, or several
// names with commas, then a colon:
//
//	sources:
//	  - fact: "scopeSeparator: scopes are separated by commas"
//	    url: https://acme.example/docs/oauth
//
// An apiKey section needs sources of inject and probe; a login section of url and
// signs and, where they are given, of unless, probe, lifetime and refuses. A
// provider on this machine (a loopback authorizationUrl, probe or login page) needs
// none. verified
// is docs only if every fact was read in the provider's own documentation.
//
// # Errors
//
// Every error names the file, the line where it is known, and the field, and
// says what is expected. It wraps [tokenvault.ErrInvalid] and never holds a value
// from the file: people paste secrets in the wrong place.
package catalog
