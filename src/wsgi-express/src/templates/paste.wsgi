# Written by wsgi-express: loads the application that --application-type paste names.
from paste.deploy import loadapp

application = loadapp("config:" + @FILE@)
