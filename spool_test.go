package tokenvault

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func sampleSpooled() spooled {
	s := spooled{version: 7, at: time.Unix(1_700_000_000, 5)}
	s.commit = RefreshCommit{
		Owner: Owner{Tenant: "default", OrganizationID: "acme", UserID: "alice"}, ConnectionID: "cn_1", Fence: 3,
		Record:    SealedRecord{KeySpace: "org:acme", KeyVersion: 2, Blob: Sealed("sealed\x00")},
		ExpiresIn: time.Hour, Scopes: []string{"a", "b"},
	}
	s.commit.Event = Event{
		Kind: EventRefreshed, Tenant: "default", ActorKind: ActorSystem, Owner: s.commit.Owner,
		ProviderID: "mail", ConnectionID: "cn_1", Detail: "spooled",
	}
	return s
}

func TestASpooledCommitIsReadBackWhole(t *testing.T) {
	want := sampleSpooled()
	got, err := unmarshalSpooled(want.marshal())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.commit, got.commit); diff != "" || got.version != want.version || !got.at.Equal(want.at) {
		t.Errorf("version %d, at %s, %s", got.version, got.at, diff)
	}
	if late := want.late(want.at.Add(50 * time.Minute)).ExpiresIn; late != 10*time.Minute {
		t.Errorf("stored 50 minutes late it lasts %s, want 10m", late)
	}
	if late := want.late(want.at.Add(2 * time.Hour)).ExpiresIn; late <= 0 || late > time.Second {
		t.Errorf("stored after its end it lasts %s", late)
	}
}

func FuzzUnmarshalSpooled(f *testing.F) {
	f.Add(sampleSpooled().marshal())
	f.Add([]byte{1, 2, 0, 0, 0, 9})
	f.Fuzz(func(_ *testing.T, b []byte) {
		if s, err := unmarshalSpooled(b); err == nil {
			_ = s.marshal()
		}
	})
}

func FuzzUnmarshalCredential(f *testing.F) {
	f.Add(Credential{AuthMethod: AuthOAuth2, AccessToken: NewSecret("at"), RefreshToken: NewSecret("rt")}.marshal())
	f.Add(Credential{AuthMethod: AuthAPIKey, Fields: map[string]Secret{"name": NewSecret("n"), "key": NewSecret("k")}}.marshal())
	f.Fuzz(func(_ *testing.T, b []byte) {
		if c, err := unmarshalCredential(b); err == nil {
			_ = c.marshal()
		}
	})
}
