/**
 * Certificates by which clients prove who they are in the certificate mode, and the authority of our
 * own that issues them. A private key is in one answer, when it is issued, and kept nowhere.
 */
import { Schema } from "effect"
import { AccessScope } from "./Caller.ts"

export const CertificateId = Schema.String.pipe(
  Schema.pattern(/^cert-[0-9A-HJKMNP-TV-Z]{26}$/, {
    message: () => "an id like cert-01JD… (26 characters after the prefix)"
  }),
  Schema.brand("CertificateId")
)
export type CertificateId = typeof CertificateId.Type

/** What the certificate's subject shows; 64 is the longest common name of X.520. */
export const CertificateLabel = Schema.String.pipe(
  Schema.pattern(/^(?! )[^\p{C}\p{Zl}\p{Zp}]{1,64}(?<! )$/u, {
    arbitrary: () => (fc) => fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9 ._-]{0,40}[a-z]$/),
    message: () => "a label: 1 to 64 visible characters, without a space at either end"
  }),
  Schema.brand("CertificateLabel")
)
export type CertificateLabel = typeof CertificateLabel.Type

/** Days that a client certificate holds; browsers and other clients refuse longer ones. */
export const CertificateDays = Schema.Int.pipe(
  Schema.between(1, 825, { message: () => "a whole number of days from 1 to 825" })
)

/** Lowercase hex SHA-256 of a public key (SPKI). */
export const Pin = Schema.String.pipe(Schema.pattern(/^[0-9a-f]{64}$/))

export class CertificateInfo extends Schema.Class<CertificateInfo>("CertificateInfo")({
  id: CertificateId,
  label: CertificateLabel,
  scope: AccessScope,
  /** What a caller is known by: the key, not the name on the certificate. */
  pin: Pin,
  createdAt: Schema.Finite,
  expiresAt: Schema.Finite,
  revokedAt: Schema.optional(Schema.Finite)
}) {}

export class AuthorityInfo extends Schema.Class<AuthorityInfo>("AuthorityInfo")({
  /** PEM; not secret. Clients trust the server by it. */
  certificate: Schema.String,
  /** Hex SHA-256 of the certificate, as other programs show it. */
  fingerprint: Schema.String,
  createdAt: Schema.Finite,
  expiresAt: Schema.Finite
}) {}

export class CertificateList extends Schema.Class<CertificateList>("CertificateList")({
  authority: Schema.NullOr(AuthorityInfo),
  certificates: Schema.Array(CertificateInfo)
}) {}

export class AuthorityMade extends Schema.Class<AuthorityMade>("AuthorityMade")({
  /** False when there was one and it was left as it is. */
  created: Schema.Boolean,
  authority: AuthorityInfo,
  /** Client certificates that a new authority put out of force. */
  revoked: Schema.Int
}) {}

export class IssuedCertificate extends Schema.Class<IssuedCertificate>("IssuedCertificate")({
  info: CertificateInfo,
  /** PEM. */
  certificate: Schema.String,
  /** PEM, PKCS #8. Shown this once. */
  key: Schema.Redacted(Schema.String),
  authority: AuthorityInfo
}) {}

/** Nothing can be issued or served before there is an authority. */
export class NoAuthority extends Schema.TaggedError<NoAuthority>()("NoAuthority", {}) {
  override get message(): string {
    return "there is no certificate authority yet"
  }
  get fix(): string {
    return "ai-desk cert init"
  }
}

/** The authority has run out, or does so before anything it would issue now. */
export class AuthorityExpired extends Schema.TaggedError<AuthorityExpired>()("AuthorityExpired", {
  expiresAt: Schema.String
}) {
  override get message(): string {
    return `the certificate authority ran out on ${this.expiresAt}`
  }
  get fix(): string {
    return "make a new one, and issue the client certificates anew: ai-desk cert init --replace"
  }
}

export class CertificateNotFound extends Schema.TaggedError<CertificateNotFound>()("CertificateNotFound", {
  id: CertificateId
}) {
  override get message(): string {
    return `there is no certificate ${this.id}`
  }
  get fix(): string {
    return "ai-desk cert list shows them"
  }
}
