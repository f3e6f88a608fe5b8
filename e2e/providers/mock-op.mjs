// A provider that misbehaves (npm oauth2-mock-server): one named misbehaviour at a
// time, chosen by POST /mode {name} at the control server; GET /modes lists them. It is
// no security reference: it accepts any code and any refresh token.
import { Events, OAuth2Server } from 'oauth2-mock-server';
import { control, endWithParent, readJSON } from './loopback.mjs';

let mode = 'ok';
let rotation = 0;
let tokenCalls = 0;

/** What each misbehaviour does to a token answer. */
const answers = {
  no_expires_in: (res) => delete res.body.expires_in,
  expires_in_string: (res) => { res.body.expires_in = '3600'; },
  expires_in_huge: (res) => { res.body.expires_in = 1e18; },
  expires_in_negative: (res) => { res.body.expires_in = -5; },
  no_token_type: (res) => delete res.body.token_type,
  scope_array: (res) => { res.body.scope = ['a', 'b']; },
  scope_downgrade: (res) => { res.body.scope = 'read'; },
  no_refresh_token: (res) => delete res.body.refresh_token,
  rotate: (res) => { res.body.refresh_token = `rt-${++rotation}`; },
  invalid_grant: (res) => { res.statusCode = 400; res.body = { error: 'invalid_grant' }; },
  error200: (res) => { res.body = { error: 'bad_refresh_token', error_description: 'expired' }; },
  slack_ok_false: (res) => { res.body = { ok: false, error: 'invalid_refresh_token' }; },
  status_500: (res) => { res.statusCode = 500; res.body = { error: 'server_error' }; },
  status_429: (res) => { res.statusCode = 429; res.body = { error: 'slow_down' }; },
  invalid_client: (res) => { res.statusCode = 401; res.body = { error: 'invalid_client' }; },
  secret_in_error: (res, req) => {
    res.statusCode = 400;
    res.body = { error: JSON.stringify(req.body), error_description: JSON.stringify(req.body) };
  },
  token_8mb: (res) => { res.body.access_token = 'A'.repeat(8 << 20); },
  crlf_token: (res) => { res.body.access_token = 'abc\r\nX-Injected: 1'; },
};

const hour = 3600;
const now = () => Math.floor(Date.now() / 1000);

/** What each misbehaviour does to the claims of an id_token. */
const claims = {
  id_token_wrong_aud: (payload) => { payload.aud = 'somebody-else'; },
  id_token_expired: (payload) => { Object.assign(payload, { iat: now() - 2 * hour, exp: now() - hour }); },
  id_token_future: (payload) => { Object.assign(payload, { iat: now() + hour, nbf: now() + hour, exp: now() + 2 * hour }); },
};

/** What each misbehaviour does to the way back. */
const returns = {
  state_dropped: (url) => url.searchParams.delete('state'),
  state_duplicated: (url) => url.searchParams.append('state', 'another'),
  wrong_iss: (url) => url.searchParams.set('iss', 'https://evil.example'),
  denied_with_script: (url) => {
    url.searchParams.delete('code');
    url.searchParams.set('error', 'access_denied');
    url.searchParams.set('error_description', '<script>alert(1)</script>');
  },
};

const server = new OAuth2Server();
await server.issuer.keys.generate('RS256');
await server.start(Number(process.env.PORT ?? 0), '127.0.0.1');
server.service.on(Events.BeforeResponse, (res, req) => {
  tokenCalls += 1;
  answers[mode]?.(res, req);
});
server.service.on(Events.BeforeTokenSigning, (token) => {
  if (token.payload.aud) claims[mode]?.(token.payload); // an access token has none
});
server.service.on(Events.BeforeAuthorizeRedirect, (redirect) => returns[mode]?.(redirect.url));

const controlURL = await control({
  'POST /mode': async (req) => { mode = (await readJSON(req)).name; },
  'GET /modes': () => ({ token: Object.keys(answers), idToken: Object.keys(claims), callback: Object.keys(returns) }),
  'GET /stats': () => ({ 'POST /token': tokenCalls }),
});
endWithParent();
console.log(JSON.stringify({ issuer: server.issuer.url, control: controlURL }));
