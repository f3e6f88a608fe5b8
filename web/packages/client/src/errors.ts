import type { AuthRequest } from "./types.js";

/** The problem (RFC 9457) that the vault answers with. */
export interface Problem {
  status: number;
  code: string;
  detail: string;
  field?: string;
  instance?: string;
  authRequest?: AuthRequest;
}

/**
 * An answer of the vault other than success. `code` is what to branch on, such as `not_found`,
 * `denied`, `rate_limited` or `unavailable`; `network` means that no answer came. It holds no secret.
 */
export class TokenVaultError extends Error {
  override readonly name = "TokenVaultError";
  readonly status: number;
  readonly code: string;
  /** The input field that is wrong, with code `invalid`. */
  readonly field: string | undefined;
  /** Seconds to wait before trying again; undefined if the vault did not say. */
  readonly retryAfter: number | undefined;
  /** What the owner has to settle first, with code `auth_required`. */
  readonly authRequest: AuthRequest | undefined;

  constructor(problem: Problem, retryAfter?: number) {
    super(problem.detail);
    this.status = problem.status;
    this.code = problem.code;
    this.field = problem.field;
    this.retryAfter = retryAfter;
    this.authRequest = problem.authRequest;
  }

  /** Reports whether the same call may succeed later. */
  get transient(): boolean {
    return this.code === "network" || this.status === 429 || this.status === 503;
  }
}

/** Reads the problem out of an answer that is not a success. */
export function problemOf(response: Response, body: unknown): TokenVaultError {
  const p = (typeof body === "object" && body !== null ? body : {}) as Partial<Problem>;
  const seconds = Number(response.headers.get("Retry-After") ?? Number.NaN);
  return new TokenVaultError(
    {
      status: response.status,
      code: p.code ?? "internal",
      detail: p.detail ?? `The vault answered ${response.status}`,
      ...(p.field === undefined ? {} : { field: p.field }),
      ...(p.authRequest === undefined ? {} : { authRequest: p.authRequest }),
    },
    Number.isFinite(seconds) ? seconds : undefined,
  );
}
