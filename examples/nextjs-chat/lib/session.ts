import { createHmac, timingSafeEqual } from "node:crypto";
import { cookies } from "next/headers";

const name = "chat_session";
const secret = () => process.env.SESSION_SECRET ?? "";
const mac = (userId: string) => createHmac("sha256", secret()).update(userId).digest("base64url");

/** Who is signed in to this application: the one proof of identity that the vault is given. */
export async function currentUser(): Promise<{ userId: string; organizationId: string } | null> {
  const value = (await cookies()).get(name)?.value ?? "";
  const [userId = "", given = ""] = value.split(".");
  if (!userId || !secret()) return null;
  const [a, b] = [Buffer.from(given), Buffer.from(mac(userId))];
  return a.length === b.length && timingSafeEqual(a, b) ? { userId, organizationId: "acme" } : null;
}

/** Signs a user in. This example takes every name; yours asks for more. */
export async function signIn(userId: string) {
  (await cookies()).set(name, `${userId}.${mac(userId)}`, { httpOnly: true, sameSite: "lax", path: "/" });
}
