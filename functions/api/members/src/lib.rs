//! Members of a merchant's staff and their roles: listed, given a role, taken off the list; and who is asking. What may
//! become of the list is `core::members`'.

use storeward_api::{MembersBody, NewcomersRequest, RoleRequest, SelfBody};
use storeward_core::members::{Changing, Members, MembersFault};
use storeward_core::roles::Permission;
use storeward_host::{
    ApiError, ApiReply, ApiRequest, Context, Function, Problem, ProblemKind, Route, Setting, api,
};
use storeward_store::{ChangingMembers, What};

/// The function's routes.
pub const ROUTES: &[Route] = &[
    Route {
        key: "GET /v1/me",
        personal: false,
        needs: Permission::ViewSelf,
        handle: |ctx, request| Box::pin(who_asks(ctx, request)),
    },
    Route {
        key: "GET /v1/members",
        personal: true,
        needs: Permission::ViewMembers,
        handle: |ctx, request| Box::pin(list(ctx, request)),
    },
    Route {
        key: "PUT /v1/members",
        personal: true,
        needs: Permission::ManageMembers,
        handle: |ctx, request| Box::pin(set_newcomers(ctx, request)),
    },
    Route {
        key: "PUT /v1/members/{id}",
        personal: true,
        needs: Permission::ManageMembers,
        handle: |ctx, request| Box::pin(set_role(ctx, request)),
    },
    Route {
        key: "DELETE /v1/members/{id}",
        personal: false,
        needs: Permission::ManageMembers,
        handle: |ctx, request| Box::pin(remove(ctx, request)),
    },
];

/// The function.
pub const FUNCTION: Function = Function {
    name: "api/members",
    needs: &[&Setting::STORE, &[Setting::Log]],
    run: |ctx, invocation| Box::pin(api(ctx, invocation, "api/members", ROUTES)),
};

#[expect(clippy::unused_async, reason = "a route's signature")]
async fn who_asks(_ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    ApiReply::ok(&SelfBody::new(&request.actor, request.role))
}

fn shown(members: &Members, request: &ApiRequest) -> Result<ApiReply, ApiError> {
    ApiReply::ok(&MembersBody::new(members, &request.actor))
}

#[expect(clippy::unused_async, reason = "a route's signature")]
async fn list(_ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    shown(&request.members, &request)
}

/// Makes a change that only an owner may make, who has to be one still when it is made.
async fn changed(
    ctx: &Context,
    request: &ApiRequest,
    what: What,
    change: impl Fn(&mut Members) -> Result<Changing, MembersFault> + Send + Sync,
) -> Result<Members, ApiError> {
    let as_owner = |members: &mut Members| {
        if !members.role_of(&request.actor).may(Permission::ManageMembers) {
            return Err(MembersFault::NotAllowed);
        }
        change(members)
    };
    let changing =
        ctx.store().await?.change_members(&request.installation, what, "members", as_owner).await?;
    let problem = |kind, detail: &str| Err(Problem::new(kind, detail).into());
    match changing {
        ChangingMembers::Done(members) => Ok(members),
        ChangingMembers::NotInstalled => {
            problem(ProblemKind::NotInstalled, "install the app in this shop first")
        }
        ChangingMembers::Refused(MembersFault::Unknown) => Err(Problem::not_found().into()),
        ChangingMembers::Refused(MembersFault::LastOwner) => {
            problem(ProblemKind::LastOwner, "make somebody else owner first")
        }
        ChangingMembers::Refused(MembersFault::TooMighty) => {
            problem(ProblemKind::RoleTooMighty, "choose agent, viewer or vendor")
        }
        ChangingMembers::Refused(MembersFault::NotAllowed) => {
            problem(ProblemKind::Forbidden, "an owner took your role a moment ago")
        }
    }
}

async fn set_newcomers(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    let NewcomersRequest { newcomers } = request.body()?;
    let change = |members: &mut Members| members.set_newcomers(newcomers.into());
    let members = changed(ctx, &request, What::RoleChanged, change).await?;
    shown(&members, &request)
}

async fn set_role(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    let id = request.id()?.to_owned();
    let RoleRequest { role } = request.body()?;
    let change = |members: &mut Members| members.set_role(&id, role.into());
    let members = changed(ctx, &request, What::RoleChanged, change).await?;
    shown(&members, &request)
}

async fn remove(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    let id = request.id()?.to_owned();
    let change = |members: &mut Members| members.remove(&id).map(|()| Changing::Changed);
    changed(ctx, &request, What::MemberRemoved, change).await?;
    Ok(ApiReply::nothing())
}
