import { importJWK, importPKCS8, type JWK, SignJWT } from "jose";

/** Whom your session names. */
export interface SessionUser {
  userId: string;
  organizationId?: string;
  /** Whether the user administers the organization. */
  orgAdmin?: boolean;
}

/** The key that your application signs statements with; the vault has its public half. */
export interface AssertionKey {
  /** A private key: PKCS #8 in PEM, or a JWK. */
  key: string | JWK;
  /** The key's id, as the vault knows it. */
  keyId: string;
  /** Default ES256. */
  algorithm?: "ES256" | "ES384" | "EdDSA" | "RS256" | "PS256";
}

/** Signs statements of who is signed in: each is good for one request, for 30 seconds, at one vault. */
export function createSigner(
  issuer: string,
  vaultUrl: string,
  { key, keyId, algorithm = "ES256" }: AssertionKey,
) {
  const imported = typeof key === "string" ? importPKCS8(key, algorithm) : importJWK(key, algorithm);
  imported.catch(() => {}); // told where it is used
  const usable = () =>
    imported.catch(() => {
      throw new Error(
        `assertion.key is no private key for ${algorithm}: give PKCS #8 in PEM ("-----BEGIN PRIVATE KEY-----"), or a JWK`,
      );
    });
  return async (user: SessionUser): Promise<string> =>
    new SignJWT({
      ...(user.organizationId ? { org_id: user.organizationId } : {}),
      ...(user.organizationId && user.orgAdmin ? { org_admin: true } : {}),
    })
      .setProtectedHeader({ typ: "tokenvault-assertion+jwt", alg: algorithm, kid: keyId })
      .setIssuer(issuer)
      .setAudience(new URL(vaultUrl).origin)
      .setSubject(user.userId)
      .setIssuedAt()
      .setExpirationTime("30s")
      .setJti(crypto.randomUUID())
      .sign(await usable());
}
