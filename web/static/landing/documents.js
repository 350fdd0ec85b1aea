// Every GraphQL document that this page sends. schema.graphql says what each field means.

const SESSION = `session { accessToken refreshToken expiresAt } errors { code message path }`;

export const LOGIN = `mutation Login($input: LoginInput!) { login(input: $input) { ${SESSION} } }`;
export const REGISTER = `mutation Register($input: RegisterInput!) { register(input: $input) { ${SESSION} } }`;
export const REFRESH = `mutation Refresh($input: RefreshSessionInput!) { refreshSession(input: $input) { ${SESSION} } }`;
export const LOGOUT = `mutation Logout { logout { errors { code message } } }`;

const TRACK = `id title prompt tags status durationSeconds coverUrl createdAt
  generations(first: 5) { edges { node {
    id status progress queuePosition createdAt error { message retryable }
  } } }`;

export const TRACKS = `query Tracks { tracks(first: 8) { edges { node { ${TRACK} } } } }`;

export const VERSIONS = `query Versions($id: ID!) { track(id: $id) { versions(first: 2) { edges { node {
  id variant audioUrl durationSeconds waveform(points: 160) stems { id kind audioUrl }
} } } } }`;

export const GENERATE = `mutation Generate($input: GenerateTrackInput!) { generateTrack(input: $input) {
  track { ${TRACK} } errors { code message path }
} }`;

export const UPDATES = `subscription Updates($after: String) { trackUpdates(after: $after) {
  cursor kind trackId track { ${TRACK} }
} }`;
