// PostGraphile 5 at its best: its preset as it comes, no settings per request (and so no transaction), prepared
// statements, no log. DATABASE_URL names the database, PORT the port of the loopback interface.
import { createServer } from 'node:http'
import { postgraphile } from 'postgraphile'
import { PostGraphileAmberPreset } from 'postgraphile/presets/amber'
import { makePgService } from 'postgraphile/adaptors/pg'
import { grafserv } from 'postgraphile/grafserv/node'
import { makeJSONPgSmartTagsPlugin } from 'postgraphile/utils'

// What the database does not say by itself. An owner is a profile (it knows only the way over `users`); a track's
// versions hang on the track alone (it would compare the user as well); and lists are sorted and told from the bin by
// columns that no index begins with.
const asked = { behavior: 'attribute:filterBy attribute:orderBy' }
const relations = makeJSONPgSmartTagsPlugin({
  version: 1,
  config: {
    class: {
      'public.tracks': {
        tags: { foreignKey: '(user_id) references public.profiles (id)|@fieldName owner' },
        attribute: { created_at: { tags: asked }, deleted_at: { tags: asked } },
      },
      'public.versions': {
        tags: { foreignKey: '(track_id) references public.tracks (id)|@foreignFieldName versions' },
        attribute: { number: { tags: asked }, variant: { tags: asked } },
      },
    },
  },
})

const preset = {
  extends: [PostGraphileAmberPreset],
  plugins: [relations],
  pgServices: [makePgService({ connectionString: process.env.DATABASE_URL, schemas: ['public'], poolConfig: { max: 10 } })],
  grafast: { explain: false },
  // Answers are written as text from the plan, without objects in between: the faster of its two ways.
  grafserv: { graphiql: false, websockets: false, watch: false, outputDataAsString: true },
}

const server = createServer()
await postgraphile(preset).createServ(grafserv).addTo(server)
server.listen(Number(process.env.PORT), '127.0.0.1')
