package oauth2flow

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"mime"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/dotted"
)

// maxToken bounds a token: more does not fit into a header.
const maxToken = 32 << 10

var (
	errTruncated   = errors.New("the answer is cut short")
	errNoToken     = errors.New("the answer holds no access token")
	errTokenType   = errors.New("the token is not a bearer token")
	errBadToken    = errors.New("the token has characters that no header can carry, or is too long")
	errUnreadable  = errors.New("the answer is neither JSON nor a form")
	errNotAnAnswer = errors.New("the answer is not a token answer")
)

// answer is what a token endpoint said.
type answer struct {
	accessToken  tokenvault.Secret
	refreshToken tokenvault.Secret
	idToken      tokenvault.Secret
	scopes       []string // nil: not said
	expiresIn    time.Duration
	code         string // an error code, at whatever HTTP status
	problem      error  // why the answer is of no use; one of the errors above
	fields       map[string]any
}

// parseAnswer reads a token answer: JSON or, as some providers send whatever one
// accepts, a form; with errors at any status; with the token nested.
func parseAnswer(p *tokenvault.OAuth2, res response) answer {
	fields, err := decodeFields(res)
	if err != nil {
		return answer{problem: err}
	}
	ans := answer{fields: fields, code: errorCode(fields)}
	if ans.code != "" {
		return ans
	}
	token := fields
	if nested, ok := dotted.At(fields, p.TokenPath).(map[string]any); ok && p.TokenPath != "" {
		token = nested // a refresh may answer at the root what an exchange nests
	}
	ans.accessToken, ans.refreshToken = secret(token["access_token"]), secret(token["refresh_token"])
	ans.idToken = secret(fields["id_token"])
	ans.scopes, ans.expiresIn = scopesOf(token["scope"]), seconds(token["expires_in"])
	ans.problem = checkToken(ans, token)
	return ans
}

func decodeFields(res response) (map[string]any, error) {
	mediaType, _, _ := mime.ParseMediaType(res.mediaType)
	body := bytes.TrimSpace(res.body)
	switch {
	case len(body) > 0 && body[0] == '{':
		var fields map[string]any
		dec := json.NewDecoder(bytes.NewReader(body))
		dec.UseNumber()
		if err := dec.Decode(&fields); err != nil {
			return nil, errTruncated
		}
		return fields, nil
	case mediaType == "application/x-www-form-urlencoded" || mediaType == "text/plain":
		values, err := url.ParseQuery(string(body))
		if err != nil || values.Get("access_token") == "" && values.Get("error") == "" {
			return nil, errUnreadable
		}
		fields := make(map[string]any, len(values))
		for name := range values {
			fields[name] = values.Get(name)
		}
		return fields, nil
	case len(body) == 0:
		return nil, errNotAnAnswer
	}
	return nil, errUnreadable
}

// errorCode returns the error of an answer (RFC 6749 §5.2), also of one that
// says "ok": false beside it.
func errorCode(fields map[string]any) string {
	if code, ok := fields["error"].(string); ok && code != "" {
		return code
	}
	if fields["ok"] == false || fields["error"] != nil && fields["error"] != "" {
		return "unknown_error"
	}
	return ""
}

func checkToken(ans answer, token map[string]any) error {
	kind, isText := token["token_type"].(string)
	switch {
	case ans.accessToken.IsZero():
		return errNoToken
	case isText && kind != "" && !strings.EqualFold(kind, "bearer") && !strings.EqualFold(kind, "user"):
		return errTokenType
	case !carryable(ans.accessToken) || !carryable(ans.refreshToken):
		return errBadToken
	}
	return nil
}

// carryable reports whether a header can carry the token.
func carryable(s tokenvault.Secret) bool {
	text := s.Reveal()
	return len(text) <= maxToken && !strings.ContainsFunc(text, func(r rune) bool { return r <= 0x20 || r >= 0x7f })
}

func secret(v any) tokenvault.Secret {
	text, _ := v.(string)
	return tokenvault.NewSecret(text)
}

// scopesOf reads scopes as text with spaces or commas, or as a list. nil means
// that the provider did not say.
func scopesOf(v any) []string {
	switch v := v.(type) {
	case string:
		if scopes := strings.FieldsFunc(v, func(r rune) bool { return r == ' ' || r == ',' }); len(scopes) > 0 {
			return scopes
		}
	case []any:
		var scopes []string
		for _, item := range v {
			if text, ok := item.(string); ok && text != "" && !slices.Contains(scopes, text) {
				scopes = append(scopes, text)
			}
		}
		return scopes
	}
	return nil
}

// seconds reads a lifetime as a number or as text. What cannot be one is 0.
func seconds(v any) time.Duration {
	var text string
	switch v := v.(type) {
	case json.Number:
		text = v.String()
	case string:
		text = strings.TrimSpace(v)
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(n) || n <= 0 {
		return 0
	}
	return time.Duration(min(n, maxLifetime.Seconds()) * float64(time.Second))
}
