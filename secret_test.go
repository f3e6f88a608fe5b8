package tokenvault_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/ai-token-vault/tokenvault"
)

func TestASecretShowsNowhere(t *testing.T) {
	const text = "canary-5f1c"
	secret := tokenvault.NewSecret(text)
	holder := struct {
		hidden tokenvault.Secret
		Shown  tokenvault.Secret
		List   []tokenvault.Secret
		Map    map[string]tokenvault.Secret
	}{secret, secret, []tokenvault.Secret{secret}, map[string]tokenvault.Secret{"k": secret}}
	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewJSONHandler(&log, nil), slog.NewTextHandler(&log, nil)} {
		slog.New(h).Info("m", slog.Any("secret", secret), slog.Any("holder", holder))
	}
	encoded, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	shown := log.String() + string(encoded) + fmt.Sprint(secret, holder, &holder)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%T"} {
		shown += fmt.Sprintf(verb+verb, secret, holder)
	}
	if strings.Contains(shown, text) || strings.Contains(shown, fmt.Sprintf("%x", text)) {
		t.Error("a secret was printed")
	}
	if secret.Reveal() != text || !(tokenvault.Secret{}).IsZero() {
		t.Error("Reveal or IsZero is wrong")
	}
}
