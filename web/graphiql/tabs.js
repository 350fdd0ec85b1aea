// What a newcomer finds open: the product's main job, in the order in which one does it.

const LOGIN = `# 1. Sign in. Copy the accessToken into the Headers below, in each tab:
#    { "Authorization": "Bearer <accessToken>" }

mutation Login($input: LoginInput!) {
  login(input: $input) {
    session {
      accessToken
      refreshToken
      expiresAt
    }
    errors { code message path }
  }
}
`;

const REGISTER = `# Or make an account of your own; the answer is a session as well.

mutation Register($input: RegisterInput!) {
  register(input: $input) {
    session {
      accessToken
      refreshToken
      expiresAt
    }
    errors { code message path }
  }
}
`;

const LISTEN = `# 2. Listen: READY comes first, then every change of your tracks
#    for as long as this tab stays subscribed.

subscription Listen($after: String) {
  trackUpdates(after: $after) {
    cursor
    kind
    trackId
    track {
      title
      status
      audioUrl
      generations(first: 1) {
        edges { node { status progress } }
      }
    }
  }
}
`;

const GENERATE = `# 3. Ask for music. The answer comes at once,
#    the music through the subscription.

mutation Generate($input: GenerateTrackInput!) {
  generateTrack(input: $input) {
    track { id title status }
    generation { id status progress }
    errors { code message path }
  }
}
`;

const TRACKS = `# 4. What is there, with every version and its stems.

query Tracks {
  tracks(first: 10) {
    edges {
      node {
        id
        title
        status
        tags
        audioUrl
        coverUrl
        versions(first: 4) {
          edges {
            node {
              number
              variant
              durationSeconds
              audioUrl
              stems { kind audioUrl }
            }
          }
        }
      }
    }
    pageInfo { hasNextPage endCursor }
  }
}
`;

/** GraphiQL tabs; `demo` holds `demoEmail` and `demoPassword` (both may be empty), `headers` is JSON text. */
export function welcomeTabs(demo, headers) {
  const tab = (query, variables) => ({ query, variables: JSON.stringify(variables, null, 2), headers });
  return [
    tab(LOGIN, { input: { email: demo.demoEmail || "you@example.com", password: demo.demoPassword } }),
    tab(REGISTER, { input: { email: "you@example.com", password: "" } }),
    tab(LISTEN, { after: null }),
    tab(GENERATE, {
      input: { prompt: "A slow lo-fi evening, rain on the window", tags: ["lo-fi", "piano"], durationSeconds: 20 },
    }),
    tab(TRACKS, {}),
  ];
}
