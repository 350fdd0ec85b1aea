"""Accounts: a person, the public face of one, and sessions.

Rows in `models/accounts.py`, what happens in `resolvers/accounts.py`, the rules in `domain/accounts.py`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import strawberry

from domain.accounts import Role, Tier
from models.accounts import Profile as ProfileRow
from models.accounts import User as UserRow
from models.accounts import UserRole
from planner.declarations import OfViewer
from planner.keyset import Order
from resolvers import accounts
from resolvers.accounts import SignedIn as SignedInSession
from schema.context import Info
from schema.errors import UserError
from schema.fields import Anyone, SignedIn, mutation
from schema.nodes import Node, OfRow
from schema.reads import declared, many, one

strawberry.enum(Role, description="What a user may do beyond owning things.")
strawberry.enum(Tier, description="The plan that an account is on.")

BY_NAME = Order("role", (UserRole.role,), descending=False)


@strawberry.type(description="The face that a user shows to others. Nothing else of an account is public.")
class PublicProfile(OfRow, rows=ProfileRow):
    username: str = strawberry.field(description="Unique, whatever the case of its letters.")
    display_name: str | None = strawberry.field(description="A name of any form; null when none was given.")
    avatar_url: str | None = strawberry.field(description="A picture; null when none was given.")
    row: strawberry.Private[Any]


@strawberry.type(description="An account. Only its holder sees it.")
class User(Node, rows=UserRow):
    email: str = strawberry.field(description="The address that signs in, in lower case.")
    tier: Tier = strawberry.field(description="The plan that the account is on.")
    created_at: datetime = strawberry.field(description="When it was registered.")
    profile: PublicProfile = one(ProfileRow, at=UserRow.id, description="The public face of this account.")
    roles: list[Role] = many(
        UserRole.user_id, BY_NAME, only=UserRole.role, description="The roles that the account holds."
    )


@strawberry.type(description="A signed-in session. The refresh token is shown this once: keep it safe.")
class Session:
    access_token: str = strawberry.field(
        description="Send it as `Authorization: Bearer …`; in `connection_init` as `authorization`."
    )
    refresh_token: str = strawberry.field(
        description="Good for one `refreshSession` within seven days. Used twice, it ends the whole session."
    )
    expires_at: datetime = strawberry.field(description="When the access token ends, 15 minutes after it was made.")
    user: User = strawberry.field(description="Who is signed in.")


@strawberry.type(description="The new session, or what was wrong.")
class SessionPayload:
    session: Session | None = strawberry.field(default=None, description="Null when there are errors.")
    errors: list[UserError] = strawberry.field(default_factory=list, description="What to put right; empty on success.")

    @classmethod
    def of(cls, made: SignedInSession, info: Info) -> SessionPayload:
        info.context.sign_in(made.viewer)
        session = Session(
            access_token=made.access_token,
            refresh_token=made.refresh_token,
            expires_at=made.expires_at,
            user=User.of(made.user),
        )
        return cls(session=session)


@strawberry.type(description="Signed out.")
class LogoutPayload:
    errors: list[UserError] = strawberry.field(default_factory=list, description="Always empty.")


@strawberry.input(description="A new account.")
class RegisterInput:
    email: str = strawberry.field(description="The address that will sign in.")
    password: str = strawberry.field(description="8 to 128 characters.")
    username: str | None = strawberry.field(
        default=None, description="The public name, 3 to 30 characters; without one a random name is made."
    )


@strawberry.input(description="Credentials.")
class LoginInput:
    email: str = strawberry.field(description="The address of the account.")
    password: str = strawberry.field(description="Its password.")


@strawberry.input(description="The refresh token of the last session payload.")
class RefreshSessionInput:
    refresh_token: str = strawberry.field(description="It is used up by this.")


async def _viewer(info: Info) -> Any:
    return User.maybe(await accounts.viewer_user(info.context.ctx))


@strawberry.type
class AccountQueries:
    viewer: User | None = declared(
        OfViewer(), _viewer, description="The account that asks; null without an access token."
    )


@strawberry.type
class AccountMutations:
    @mutation(allow=Anyone, description="Open an account and sign in. May answer InvalidInput, Conflict.")
    async def register(
        self, info: Info, input: Annotated[RegisterInput, strawberry.argument(description="The new account.")]
    ) -> SessionPayload:
        made = await accounts.register(info.context.ctx, input.email, input.password, username=input.username)
        return SessionPayload.of(made, info)

    @mutation(
        allow=Anyone,
        description="Sign in. An unknown e-mail and a wrong password answer alike: InvalidInput.",
    )
    async def login(
        self, info: Info, input: Annotated[LoginInput, strawberry.argument(description="Credentials.")]
    ) -> SessionPayload:
        return SessionPayload.of(await accounts.login(info.context.ctx, input.email, input.password), info)

    @mutation(
        allow=Anyone,
        description="Trade the refresh token for a new pair; send no access token with it. One that was used before "
        "ends the session: NotAllowed.",
    )
    async def refresh_session(
        self, info: Info, input: Annotated[RefreshSessionInput, strawberry.argument(description="The token.")]
    ) -> SessionPayload:
        return SessionPayload.of(await accounts.refresh_session(info.context.ctx, input.refresh_token), info)

    @mutation(allow=SignedIn, description="End this session, with its access and refresh tokens, everywhere.")
    async def logout(self, info: Info) -> LogoutPayload:
        await accounts.logout(info.context.ctx)
        return LogoutPayload()
